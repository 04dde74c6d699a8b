"""`python -m local.tour`: start the platform and the app, take the tour, stay up until Ctrl-C.

It takes the options of `python -m local` and passes them on.
"""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import httpx
from rich.console import Console
from rich.markup import escape

from local.host.settings import load_settings
from local.supervisor.lock import DataFolderError
from local.supervisor.options import parse
from local.tour.client import TourError
from local.tour.display import Display, Ways
from local.tour.exports import FILE, exports, known_keys, read_exports, write_exports
from local.tour.journey import Journey
from local.tour.started import StartedPlatform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_WORD_MS = 20


def main(arguments: Sequence[str]) -> int:
    """Run until stopped and give the exit code of the platform, or 1 where the tour could not be taken."""
    options = parse(arguments)
    started = time.monotonic()
    console = Console(highlight=False)
    console.print("[bold]Tenantry[/bold]: starting the local platform and the app …")
    try:
        platform = StartedPlatform.start(arguments, options.data_dir)
    except (DataFolderError, OSError) as error:
        print(f"local: {error}", file=sys.stderr)
        return 1
    addresses = platform.wait_until_ready()
    if addresses is None:
        return platform.wait_for_end()
    for notice in platform.notices():
        console.print(notice, style="yellow", markup=False, soft_wrap=True)
    display = Display(console)
    refused: Exception | None = None
    admin_key = load_settings(options.app_root, dict(os.environ)).get("ADMIN_API_KEY") or ""
    try:
        _tour(display, addresses, admin_key, options.data_dir / FILE)
    except (TourError, httpx.HTTPError) as error:
        refused = error
    variables = exports(addresses, admin_key, display.tenants)
    if variables:
        write_exports(options.data_dir / FILE, variables)
    if platform.stopping.is_set():
        return platform.wait_for_end()
    if refused is not None:
        console.print(f"[bold red]The tour stopped:[/bold red] {escape(str(refused))}", soft_wrap=True)
    display.conclude(addresses, Ways(variables, options.data_dir / FILE), time.monotonic() - started)
    console.print(f"What the platform and the app say is in {platform.log_file}", style="dim", soft_wrap=True)
    code = platform.wait_for_end()
    return code if refused is None else code or 1


def _tour(display: Display, addresses: Mapping[str, str], admin_key: str, env_file: Path) -> None:
    if "app" in addresses:
        known = known_keys(read_exports(env_file))
        with httpx.Client(base_url=addresses["app"], timeout=30, trust_env=False) as client:
            for event in Journey(client, admin_key, known, partial(_slow_down, addresses.get("llm"))).walk():
                display.show(event)


def _slow_down(stand_in: str | None) -> None:
    """Have the stand-in model, where it is the one that answers, give its next words at a person's pace."""
    if stand_in is not None:
        fault = {"piece_delay_ms": _WORD_MS, "count": 1}
        httpx.post(f"{stand_in}/_local/faults", json=fault, trust_env=False).raise_for_status()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
