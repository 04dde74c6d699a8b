"""`python -m local.demo`: fill the platform of a data folder, starting it where it does not run.

It takes the options of `python -m local`, which name the ports of a platform that runs, and `--tenants`,
`--seed` and `--then-stop`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

import httpx
from rich.console import Console
from rich.markup import escape

from local.demo.plan import MOST_TENANTS, SEED
from local.demo.run import Place, run
from local.host.settings import load_settings
from local.supervisor.addresses import app_settings, ready_line
from local.supervisor.lock import DataFolderError, is_locked
from local.supervisor.options import PORTS, Options, parse
from local.supervisor.own_settings import OwnSettings
from local.tour.client import TourError
from local.tour.started import StartedPlatform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local.demo.filling import Step
    from local.demo.run import Filled

_NEEDED = frozenset({"app", "cosmos", "llm"})


class Progress:
    """Prints each step as it is over."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._since = time.monotonic()

    def show(self, step: Step) -> None:
        """Print a step."""
        now = time.monotonic()
        new = "all there" if step.new == 0 else f"{step.new:,} new"
        self._console.print(f"[green]✓[/green] {step.count:,} {step.name} ({new}, {now - self._since:.1f} s)")
        self._since = now


def main(arguments: Sequence[str]) -> int:
    """Fill a platform and return an exit code: 1 where that was not possible."""
    own, others = _parse(arguments)
    options = parse(others)
    console = Console(highlight=False)
    if OwnSettings.read(options.app_root, os.environ).model_endpoint is not None:
        print("demo: AZURE_OPENAI_ENDPOINT names a model that is paid: unset it", file=sys.stderr)
        return 1
    try:
        is_running = is_locked(options.data_dir)
        platform = None if is_running else StartedPlatform.start(others, options.data_dir)
    except (DataFolderError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    addresses = ready_line(options.ports) if platform is None else platform.wait_until_ready()
    if addresses is None or not addresses.keys() >= _NEEDED:
        print("demo: the platform does not run whole: the app, cosmos and llm are needed", file=sys.stderr)
        return 1 if platform is None else _end(platform)
    code = _fill(console, options, addresses, own)
    if platform is None or platform.stopping.is_set():
        return code
    if own.then_stop or code:
        return _end(platform) or code
    console.print("\nCtrl-C stops everything.")
    return platform.wait_for_end()


def _end(platform: StartedPlatform) -> int:
    if platform.process.poll() is None:
        platform.stop()
    return platform.wait_for_end()


def _fill(console: Console, options: Options, addresses: Mapping[str, str], own: argparse.Namespace) -> int:
    ports = {part: _port(addresses[name]) for part, name in _names().items() if name in addresses}
    load_settings(options.app_root, os.environ)
    os.environ.update(app_settings(ports, options.data_dir))
    place = Place(addresses["app"], addresses["llm"], options.data_dir)
    begun = time.monotonic()
    try:
        filled = run(place, own.tenants, own.seed, Progress(console).show)
    except (TourError, httpx.HTTPError) as error:
        console.print(f"[bold red]The demo stopped:[/bold red] {escape(str(error))}", soft_wrap=True)
        return 1
    _conclude(console, addresses["app"], filled, time.monotonic() - begun)
    return 0


def _conclude(console: Console, app: str, filled: Filled, seconds: float) -> None:
    tenant = filled.showcase
    console.print(f"\n[bold]The demo is there[/bold] ({seconds:.1f} s): {app}/api/console")
    console.print("Sign in with the key of", style="dim")
    for title, key in (
        ("the platform's administrator", filled.admin_key),
        (f"an administrator of {tenant.name}", filled.keys.admins[tenant.tenant_id]),
        (f"its user {tenant.conversations[0].user_id}", filled.keys.user),
    ):
        console.print(f"  {title}:", style="dim", markup=False)
        console.print(f"  {key}", style="yellow", markup=False, soft_wrap=True)


def _names() -> dict[str, str]:
    """Return the name that each part has in the ready line."""
    return dict(zip(PORTS, ready_line(dict.fromkeys(PORTS, 0)), strict=True))


def _port(address: str) -> int:
    return int(address.removesuffix("/devstoreaccount1").rpartition(":")[2])


def _parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="python -m local.demo",
        description="Fills a local platform with data that looks real; a second run makes what is missing.",
        epilog="All other options are those of python -m local.",
    )
    parser.add_argument(
        "--tenants", type=int, choices=range(1, MOST_TENANTS + 1), default=MOST_TENANTS, metavar="N"
    )
    parser.add_argument("--seed", type=int, default=SEED, metavar="N", help="another one makes other data")
    parser.add_argument("--then-stop", action="store_true", help="stop a platform that was started for this")
    return parser.parse_known_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
