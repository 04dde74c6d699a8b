"""`python -m tests.integration_tests.docs.picture`: draw docs/images/tour.svg, what `make run` shows."""

from __future__ import annotations

import io
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from local.supervisor.options import PORTS
from local.tour.display import Display, Ways
from local.tour.exports import exports
from local.tour.journey import Journey, Tenant
from tests.integration_tests.platform import ADMIN_KEY, ROOT, running_platform

PICTURE = ROOT / "docs" / "images" / "tour.svg"
SECONDS = 9.8
"""A start on an idle laptop, whatever this one took."""

_USUAL = {"app": "host", "cosmos": "cosmos", "servicebus": "servicebus", "blob": "azurite", "llm": "llm"}


class Sheet(Console):
    """A terminal as wide as the picture; what is longer goes on in the next line, as on any."""

    def print(self, *objects: Any, **options: Any) -> None:  # noqa: ANN401  # as Console has it
        """Print without the one option that would let a line leave the picture."""
        options.pop("soft_wrap", None)
        super().print(*objects, **options)


def draw() -> None:
    """Take the tour on a platform of its own, and draw it with the ports that a user has."""
    sheet = Sheet(record=True, width=112, highlight=False, file=io.StringIO())
    sheet.print("[bold]Tenantry[/bold]: starting the local platform and the app …")
    display = Display(sheet)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_platform(Path(folder) / "data") as platform,
    ):
        for event in Journey(platform.client, ADMIN_KEY).walk():
            display.show(replace(event, key=shorten(event.key)) if isinstance(event, Tenant) else event)
        addresses = {
            name: with_port(platform.addresses[name], PORTS[part][1]) for name, part in _USUAL.items()
        }
    variables = exports(addresses, ADMIN_KEY, display.tenants)
    display.conclude(addresses, Ways(variables, Path(".local/env.sh")), SECONDS)
    sheet.print("What the platform and the app say is in .local/platform.log", style="dim")
    sheet.save_svg(str(PICTURE), title="make run")


def shorten(key: str) -> str:
    """Leave out most of a key: a picture is no place for one."""
    return f"{key.rsplit('.', 1)[0]}.{key.rsplit('.', 1)[1][:6]}…"


def with_port(address: str, port: int) -> str:
    """Name the port that a part has without an option."""
    return re.sub(r":\d+", f":{port}", address)


if __name__ == "__main__":
    draw()
