"""host.json and log levels."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from local.host.hostjson import UNLIMITED, HostJsonError, load_host_json, parse_timespan
from local.host.logs import LogLevels

if TYPE_CHECKING:
    from pathlib import Path


def test_azures_defaults_hold_where_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    host = load_host_json(tmp_path)
    bus = host.extensions.service_bus
    assert host.extensions.http.route_prefix == "api"
    assert (bus.auto_complete_messages, bus.max_concurrent_sessions, bus.prefetch_count) == (True, 8, 0)
    assert bus.max_auto_lock_renewal_duration == timedelta(minutes=5)
    assert bus.max_concurrent_calls % 16 == 0
    assert host.unknown_options() == []


def test_options_are_read_and_unknown_ones_named(tmp_path: Path) -> None:
    content = {
        "version": "2.0",
        "functionTimeout": "00:02:00",
        "extensions": {
            "serviceBus": {"autoComplete": False, "maxAutoLockRenewalDuration": "-1", "typo": 1},
            "cosmosDB": {},
        },
        "other": {},
    }
    (tmp_path / "host.json").write_text(json.dumps(content))
    host = load_host_json(tmp_path)
    assert host.function_timeout == timedelta(minutes=2)
    assert not host.extensions.service_bus.auto_complete_messages
    assert host.extensions.service_bus.max_auto_lock_renewal_duration == UNLIMITED
    assert host.unknown_options() == ["extensions.cosmosDB", "extensions.serviceBus.typo", "other"]


def test_comments_last_commas_and_numbers_are_read(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text(
        """{
            "version": 2.0, // as a number
            "functionTimeout": -1,
            "logging": {"logLevel": {"default": 3, "Host": "4",}},
            "extensions": {"http": {"routePrefix": 1}, "serviceBus": {"maxAutoLockRenewalDuration": 2,}, },
        }"""
    )
    host = load_host_json(tmp_path)
    assert host.function_timeout == UNLIMITED
    assert host.extensions.http.route_prefix == "1"
    assert host.extensions.service_bus.max_auto_lock_renewal_duration == timedelta(days=2)
    levels = LogLevels(host.logging.log_level)
    assert (levels.level("x"), levels.level("Host")) == (logging.WARNING, logging.ERROR)


def test_the_environment_sets_options_over_the_file(tmp_path: Path) -> None:
    content = {"version": "2.0", "extensions": {"serviceBus": {"maxConcurrentCalls": 5, "prefetchCount": 2}}}
    (tmp_path / "host.json").write_text(json.dumps(content))
    environ = {
        "AzureFunctionsJobHost__functionTimeout": "00:00:07",
        "AZUREFUNCTIONSJOBHOST__EXTENSIONS__SERVICEBUS__MAXCONCURRENTCALLS": "1",
        "AzureFunctionsJobHost__extensions__serviceBus__autoCompleteMessages": "false",
        "AzureFunctionsJobHost__version__nothing": "x",
        "OTHER": "x",
    }
    host = load_host_json(tmp_path, environ)
    bus = host.extensions.service_bus
    assert host.function_timeout == timedelta(seconds=7)
    assert (bus.max_concurrent_calls, bus.prefetch_count, bus.auto_complete_messages) == (1, 2, False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        ("{}", "version"),
        ('{"version": "2.0", "functionTimeout": "soon"}', "'soon' is not a duration"),
        (
            '{"version": "2.0", "extensions": {"serviceBus": {"minMessageBatchSize": 1001}}}',
            "has to be at most",
        ),
        ('{"version": "2.0", "extensions": {"serviceBus": {"maxConcurrentCalls": 0}}}', "maxConcurrentCalls"),
    ],
)
def test_a_broken_file_is_refused_by_the_name_of_its_option(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text(text)
    with pytest.raises(HostJsonError, match=reason):
        load_host_json(tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HostJsonError, match=r"no host\.json"):
        load_host_json(tmp_path)


def test_timespans() -> None:
    assert parse_timespan("1.02:03:04.5") == timedelta(days=1, hours=2, minutes=3, seconds=4.5)
    assert parse_timespan("00:05") == timedelta(minutes=5)


def test_the_longest_prefix_decides_a_categorys_level() -> None:
    levels = LogLevels({"default": "Warning", "Function": "Error", "Function.chat": "Debug", "Host": "odd"})
    assert levels.level("Other") == logging.WARNING
    assert levels.level("Function.x") == logging.ERROR
    assert levels.level("Function.chat") == logging.DEBUG
    assert levels.level("Host.Startup") == logging.INFO
    assert LogLevels({}).level("x") == logging.INFO
