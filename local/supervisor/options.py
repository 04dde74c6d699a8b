"""Options of the command line of `python -m local`."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]

HOST = "host"
PORTS: Mapping[str, tuple[str, int]] = {
    HOST: ("--port", 7071),
    "cosmos": ("--cosmos-port", 8081),
    "servicebus": ("--servicebus-port", 5672),
    "llm": ("--llm-port", 8082),
    "azurite": ("--azurite-port", 10000),
}
"""Each part with the option that sets its port and the port that it has without one."""


@dataclass(frozen=True, slots=True)
class Options:
    """Parts to start, and their places."""

    ports: Mapping[str, int] = field(
        default_factory=lambda: {part: port for part, (_, port) in PORTS.items()}
    )
    data_dir: Path = Path(".local")
    instances: int = 1
    only: frozenset[str] = frozenset(PORTS)
    servicebus_config: Path = ROOT / "local" / "servicebus" / "Config.json"
    app_root: Path = ROOT
    until_stdin_ends: bool = False


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; what it cannot mean ends the process with the reason, as argparse does."""
    parser = argparse.ArgumentParser(
        prog="python -m local",
        description="The platform and the app in the foreground; a port of 0 takes a free one.",
    )
    for part, (option, port) in PORTS.items():
        parser.add_argument(option, type=_port, default=port, dest=part, metavar="PORT")
    parser.add_argument("--data-dir", type=Path, default=Options().data_dir, metavar="DIR")
    parser.add_argument(
        "--instances", type=_instances, default=1, metavar="N", help="processes that share the app's port"
    )
    parser.add_argument(
        "--only", type=_only, default=frozenset(PORTS), metavar="PART,...", help=f"of {','.join(PORTS)}"
    )
    parser.add_argument(
        "--servicebus-config", type=_file, default=Options().servicebus_config, metavar="FILE"
    )
    parser.add_argument("--app-root", type=_folder, default=ROOT, metavar="DIR", help="where host.json is")
    parser.add_argument(
        "--until-stdin-ends", action="store_true", help="stop when whoever holds stdin is gone"
    )
    read = parser.parse_args(arguments)
    return Options(
        ports={part: getattr(read, part) for part in PORTS},
        data_dir=read.data_dir.resolve(),
        instances=read.instances,
        only=read.only,
        servicebus_config=read.servicebus_config.resolve(),
        app_root=read.app_root.resolve(),
        until_stdin_ends=read.until_stdin_ends,
    )


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:  # noqa: PLR2004 - what a port is
        raise argparse.ArgumentTypeError(f"{port} is no port")
    return port


def _instances(text: str) -> int:
    count = int(text)
    if not 1 <= count <= 64:  # noqa: PLR2004 - more than a machine has cores for
        raise argparse.ArgumentTypeError("between 1 and 64 instances")
    return count


def _only(text: str) -> frozenset[str]:
    parts = frozenset(part.strip() for part in text.split(",") if part.strip())
    unknown = sorted(parts - PORTS.keys())
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown part {', '.join(unknown)}; there are {', '.join(PORTS)}")
    if not parts:
        raise argparse.ArgumentTypeError("names no part")
    return parts


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"{path} is no file")
    return path


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is no folder")
    return path
