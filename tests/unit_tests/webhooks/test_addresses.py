"""Webhooks lead to the public internet alone."""

from __future__ import annotations

import ipaddress

import pytest

from functions.webhooks.addresses import find_url_problem, is_allowed, is_public

NOT_PUBLIC = (
    "0.0.0.0",  # noqa: S104  # nothing listens there
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:168.63.129.16",
    "::ffff:0:127.0.0.1",
    "::ffff:0:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001:db8::1",
    "2001:0:1::1",
    "2002:7f00:1::1",
    "2002:c0a8:101::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
)
PUBLIC = ("1.1.1.1", "20.50.1.1", "168.63.129.17", "2606:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1")


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_no_address_of_a_network_of_ones_own_is_public(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_an_address_of_the_internet_is_public_however_it_is_written(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


def test_the_switch_for_tests_adds_this_machine_and_nothing_else() -> None:
    allowed = {text for text in NOT_PUBLIC if is_allowed(ipaddress.ip_address(text), allow_loopback=True)}

    assert allowed >= {"127.0.0.1", "::1"}
    assert all("127." in text or text == "::1" for text in allowed)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://hooks.example.com/a?b=c", None),
        ("https://hooks.example.com:8443/a", None),
        ("https://1.1.1.1/", None),
        ("http://hooks.example.com/", "must begin with https://"),
        ("http://127.0.0.1/", "must begin with https://"),
        ("https://127.0.0.1/", "must lead to a public address"),
        ("https://[::1]:8080/", "must lead to a public address"),
        ("https://[::ffff:10.0.0.1]/", "must lead to a public address"),
        ("https://localhost/", "must lead to a public address"),
        ("https://LOCALHOST./", "must lead to a public address"),
        ("https://169.254.169.254/metadata", "must lead to a public address"),
        ("https://hooks.example.com:65536/", "has a port that there is not"),
        ("https://[:::]/", "has no host"),
    ],
)
def test_what_is_seen_to_be_wrong_with_a_url_is_said_before_it_is_stored(
    url: str, problem: str | None
) -> None:
    assert find_url_problem(url, allow_loopback=False) == problem


def test_behind_the_switch_this_machine_may_be_told_without_tls_and_nobody_else() -> None:
    own, other = "http://127.0.0.1:8080/hook", "http://10.0.0.1/hook"

    assert find_url_problem(own, allow_loopback=True) is None
    assert find_url_problem(other, allow_loopback=True) == "must begin with https://"
