"""Addresses that webhooks may lead to: those of the public internet, and no other ones.

OWASP, Server-Side Request Forgery Prevention Cheat Sheet; the registries of RFC 6890.
"""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

type _Address = IPv4Address | IPv6Address

_AZURES_OWN = IPv4Address("168.63.129.16")
"""Azure's platform on each virtual network (WireServer): a public address that answers machines there alone.
https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16"""

_TRANSLATED = IPv6Network("64:ff9b::/96")
"""IPv6 addresses whose last 32 bits are an IPv4 address (RFC 6052)."""

_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All that is handed out for the public internet (IANA's registry of the IPv6 address space). Of the rest,
some stands for IPv4 addresses (`::ffff:0:a.b.c.d`, RFC 2765), or for a provider's own segments (RFC 9602)."""

_OWN_NAMES = frozenset({"localhost"})
_COMPATIBLE = IPv6Network("::/96")
_LOW_BITS = 2**32 - 1
_UNUSED = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("192.88.99.0/24"),
    IPv6Network("3fff::/20"),
    IPv6Network("fec0::/10"),
)


def is_public(address: _Address) -> bool:
    """Tell whether an address is one of the public internet, and so is each one that it stands for."""
    if isinstance(address, IPv6Address):
        inner = _find_inner(address)
        if inner is not None:
            return is_public(inner)
        if address not in _GLOBAL_UNICAST:
            return False
    is_special = address.is_multicast or address.is_unspecified or address == _AZURES_OWN
    return address.is_global and not is_special and not any(address in network for network in _UNUSED)


def is_allowed(address: _Address, *, allow_loopback: bool) -> bool:
    """Tell whether a webhook may lead to an address; to this machine only behind the switch for tests."""
    return is_public(address) or (allow_loopback and address.is_loopback)


def find_url_problem(url: str, *, allow_loopback: bool) -> str | None:
    """Say what is wrong with a webhook's URL, as far as that is seen without asking for its address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "has no host"
    host = (parts.hostname or "").rstrip(".").lower()
    literal = _read_literal(host)
    is_own_name = host in _OWN_NAMES
    is_own = is_own_name or (literal is not None and literal.is_loopback)
    if parts.scheme != "https" and not (allow_loopback and is_own):
        return "must begin with https://"
    try:
        _ = parts.port
    except ValueError:
        return "has a port that there is not"
    is_refused = literal is not None and not is_allowed(literal, allow_loopback=allow_loopback)
    if is_refused or (is_own_name and not allow_loopback):
        return "must lead to a public address"
    return None


def _read_literal(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _find_inner(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address leads to; None where it leads to none."""
    if address in _TRANSLATED or (address in _COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & _LOW_BITS)
    return address.ipv4_mapped or address.sixtofour
