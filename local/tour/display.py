"""The tour as a person sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from local.tour.exports import lines_of
from local.tour.journey import (
    CONVERSATION,
    Answered,
    Asked,
    Budget,
    Isolation,
    Job,
    Shipped,
    Tenant,
    Turn,
    Words,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from local.tour.journey import Event

_COLOURS = {"acme": "cyan", "globex": "magenta"}
_ADDRESSES = {
    "app": "The app",
    "cosmos": "Cosmos DB",
    "servicebus": "Service Bus",
    "blob": "Blob Storage",
    "llm": "Stand-in model",
    "model": "Model",
}
_CURL = (
    'curl -N "$TENANTRY_URL/api/v1/bots/helpdesk/chat" -H "Authorization: Bearer $TENANTRY_KEY" '
    """-d '{"message": "Hello!", "stream": true, "variables": {"company": "Acme", "language": "English"}}'"""
)
_DONE = "[green]✓[/green] "


@dataclass(frozen=True, slots=True)
class Ways:
    """Variables that lead a shell to what runs, and the file that sets them."""

    variables: Mapping[str, str]
    file: Path


class Display:
    """Prints what the journey brings, as it comes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tenants: list[Tenant] = []

    def show(self, event: Event) -> None:
        """Print one step's outcome."""
        match event:
            case Tenant():
                self._tenants.append(event)
                word = "created" if event.is_new else "still here from an earlier run"
                key = "a new key" if event.has_new_key else "its key"
                self._done(f"Tenant {self._name(event.demo.tenant_id)} {word}, with {key}")
            case Turn():
                self._turn(event)
            case Asked():
                self._say(Text.assemble(("  customer  ", "dim"), event.question, ("\n  bot       ", "dim")))
            case Words():
                self._say(Text(event.text, _COLOURS.get(event.tenant_id, "white")))
            case Answered():
                facts = f"turn {event.number} · {event.tokens} tokens"
                self._console.print(f"\n  {event.tenant_id} · streamed · {facts}", style="dim")
            case Isolation():
                self._done(
                    f"Another tenant's key on {event.asked}: [bold]{event.status}[/bold], as if absent"
                )
            case Job():
                self._job(event)
            case Budget():
                share = 100 * event.used / event.limit
                self._done(
                    f"Budget of {self._name(event.tenant_id)}: {event.used:,} of {event.limit:,} tokens "
                    f"used this minute ({share:.1f} %)"
                )
            case Shipped():
                self._done(
                    f"Logs of {self._name('acme')} shipped to a blob and indexed: "
                    f"{event.lines} lines in {event.chunks} chunks"
                )

    @property
    def tenants(self) -> Sequence[Tenant]:
        """The tenants that were shown."""
        return self._tenants

    def conclude(self, addresses: Mapping[str, str], ways: Ways, seconds: float) -> None:
        """Print where everything is and what to try next."""
        table = Table(box=None, show_header=False, padding=(0, 2))
        for part, title in _ADDRESSES.items():
            if part in addresses:
                table.add_row(title, Text(addresses[part], style="bold"))
        title = f"[bold]Tenantry is running[/bold] ({seconds:.1f} s)"
        self._console.print()
        self._console.print(Panel(table, title=title, expand=False))
        if ways.variables:
            self._console.print(f"\nFor another shell, or: . {ways.file}\n", markup=False, soft_wrap=True)
            for line in lines_of(ways.variables):
                self._console.print(line, style="yellow", markup=False, soft_wrap=True)
        if self._tenants:
            self._console.print("\nTalk to it:\n")
            self._console.print(_CURL, style="dim", markup=False, soft_wrap=True)
        self._console.print("\nCtrl-C stops everything.")

    def _turn(self, turn: Turn) -> None:
        colour = _COLOURS.get(turn.tenant_id, "white")
        body = Text.assemble(
            ("customer  ", "dim"), turn.question, "\n", ("bot       ", "dim"), (turn.answer.strip(), colour)
        )
        title = f"{turn.tenant_id} · conversation {CONVERSATION} · turn {turn.number} · {turn.tokens} tokens"
        self._console.print(Panel(body, title=title, title_align="left", border_style=colour))

    def _say(self, text: Text) -> None:
        """Print a piece of a line, at once."""
        self._console.print(text, end="", soft_wrap=True)
        self._console.file.flush()

    def _job(self, job: Job) -> None:
        self._done(
            f"Reasoning job [bold]{job.job_id}[/bold]: HTTP → queue → function → stored result, out queue: "
            f"{job.status} in {job.steps} steps, {job.tokens} tokens"
        )
        self._console.print(
            Panel(Text(job.summary), title="summary", title_align="left", border_style="cyan")
        )

    def _done(self, markup: str) -> None:
        self._console.print(_DONE + markup)

    def _name(self, tenant_id: str) -> str:
        colour = _COLOURS.get(tenant_id, "white")
        return f"[bold {colour}]{tenant_id}[/bold {colour}]"
