"""`python -m local.tour`: start the platform and the app, take the tour, stay up until Ctrl-C.

It takes the options of `python -m local` and passes them on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import httpx
from rich.console import Console
from rich.markup import escape

from local.host.settings import load_settings
from local.supervisor.lock import DataFolderError, is_locked
from local.supervisor.options import ROOT, parse
from local.tour.client import TourError
from local.tour.display import Display, Ways
from local.tour.exports import FILE, exports, known_keys, read_exports, write_exports
from local.tour.journey import Journey
from local.tour.log_file import rotate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import FrameType

_READY = "ready "
_NOTICE = "local: "
_WORD_MS = 20
_LAST_LINES = 4
"""A reason why the app does not start, two lines of Azurite's stopping, and the platform's own last one."""


def main(arguments: Sequence[str]) -> int:
    """Run until stopped and give the exit code of the platform, or 1 where the tour could not be taken."""
    options = parse(arguments)
    started = time.monotonic()
    console = Console(highlight=False)
    console.print("[bold]Tenantry[/bold]: starting the local platform and the app …")
    log_file = options.data_dir / "platform.log"
    try:
        in_use = is_locked(options.data_dir)
        if not in_use:
            rotate(log_file)
        log = log_file.open("a")
    except (DataFolderError, OSError) as error:
        print(f"local: {error}", file=sys.stderr)
        return 1
    with log:
        began = log.tell()
        platform = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            [sys.executable, "-m", "local", *arguments, "--until-stdin-ends"],
            cwd=ROOT,
            stdin=subprocess.PIPE,  # it ends with this process, however that ends
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    stopping = _stop_with(platform)
    addresses = _until_ready(platform)
    if addresses is None:
        return _ended(platform, stopping, log_file, began)
    _show_notices(console, log_file, began)
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
    if stopping.is_set():
        return _ended(platform, stopping, log_file, began)
    if refused is not None:
        console.print(f"[bold red]The tour stopped:[/bold red] {escape(str(refused))}", soft_wrap=True)
    display.conclude(addresses, Ways(variables, options.data_dir / FILE), time.monotonic() - started)
    console.print(f"What the platform and the app say is in {log_file}", style="dim", soft_wrap=True)
    code = _ended(platform, stopping, log_file, began)
    return code if refused is None else code or 1


def _ended(platform: subprocess.Popen[str], stopping: threading.Event, log_file: Path, began: int) -> int:
    """Wait for the platform's end, say why it was where nobody has asked for it, and give its exit code."""
    code = platform.wait()
    if not stopping.is_set():
        said = log_file.read_bytes()[began:].decode(errors="replace")
        sys.stderr.writelines(said.splitlines(keepends=True)[-_LAST_LINES:])
        print(f"All that was said before is in {log_file}", file=sys.stderr)
    return code


def _stop_with(platform: subprocess.Popen[str]) -> threading.Event:
    """Pass a signal to stop on to the platform; the event tells that there was one."""
    stopping = threading.Event()

    def pass_on(number: int, _: FrameType | None) -> None:
        # A terminal's Ctrl-C has reached the platform by itself, and a second signal would mean: at once.
        if not stopping.is_set() and not (number == signal.SIGINT and sys.stdin.isatty()):
            platform.send_signal(number)
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    return stopping


def _until_ready(platform: subprocess.Popen[str]) -> Mapping[str, str] | None:
    for line in platform.stdout or ():
        if line.startswith(_READY):
            addresses: dict[str, str] = json.loads(line.removeprefix(_READY))
            return addresses
    return None


def _show_notices(console: Console, log_file: Path, began: int) -> None:
    """Show what the platform said about settings that somebody made."""
    said = log_file.read_bytes()[began:].decode(errors="replace")
    for line in said.splitlines():
        if line.startswith(_NOTICE):
            console.print(line.removeprefix(_NOTICE), style="yellow", markup=False, soft_wrap=True)


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
