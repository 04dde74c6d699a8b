"""The parts of the local platform: how each is started."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from local.supervisor.options import HOST, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.supervisor.options import Options

type Line = Callable[[Options, int], list[str]]
"""Builds a command line from the options and the port to listen on."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its name in the ready line's terms, and its command line."""

    name: str
    line: Line
    grace_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Platform:
    """The parts that the app stands on, in the order in which they are started, and the app's host."""

    below: tuple[Part, ...]
    host: Part


def _module(name: str, options: Options, port: int, *more: str) -> list[str]:
    data_dir = options.data_dir / name
    return [sys.executable, "-m", f"local.{name}", "--port", str(port), "--data-dir", str(data_dir), *more]


def _cosmos(options: Options, port: int) -> list[str]:
    return _module("cosmos", options, port, "--definition", str(ROOT / "infra" / "cosmos.json"))


def _servicebus(options: Options, port: int) -> list[str]:
    return _module("servicebus", options, port, "--config", str(options.servicebus_config))


def _llm(options: Options, port: int) -> list[str]:
    return _module("llm", options, port)


def _azurite(options: Options, port: int) -> list[str]:
    return _module("azurite", options, port, "--definition", str(ROOT / "infra" / "storage.json"))


def _host(options: Options, port: int) -> list[str]:
    return _module(HOST, options, port, "--app-root", str(options.app_root))


PLATFORM = Platform(
    below=(
        Part("cosmos", _cosmos),
        Part("servicebus", _servicebus),
        Part("llm", _llm),
        Part("azurite", _azurite),
    ),
    # Longer than the host itself takes: 20 s for what was begun, 5 s for threads that hang.
    host=Part(HOST, _host, grace_seconds=30.0),
)


def instances(host: Part, count: int, listening: int) -> list[Part]:
    """Give the host's instances: one socket for all, timers on the first one only, as Azure fires them once.

    Args:
        host: The host.
        count: How many.
        listening: The descriptor of the socket that they share. It is the supervisor's: what waits in it
            outlives every instance.
    """

    def line(number: int) -> Line:
        timers = "on" if number == 1 else "off"
        shared = ["--listen-fd", str(listening), "--timers", timers]
        return lambda options, port: [*host.line(options, port), *shared]

    return [
        replace(host, name=host.name if count == 1 else f"{host.name} {number}", line=line(number))
        for number in range(1, count + 1)
    ]


def chosen(platform: Platform, options: Options) -> Mapping[str, Part]:
    """Give the parts below the host that are to be started."""
    return {part.name: part for part in platform.below if part.name in options.only}
