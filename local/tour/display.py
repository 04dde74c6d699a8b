"""The tour as a person sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from local.tour.journey import CONVERSATION, Budget, Isolation, Job, Shipped, Tenant, Turn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from local.tour.journey import Event

_COLOURS = {"acme": "cyan", "globex": "magenta"}
_ADDRESSES = {
    "app": "The app",
    "cosmos": "Cosmos DB",
    "servicebus": "Service Bus",
    "blob": "Blob Storage",
    "llm": "Model",
}
_DONE = "[green]✓[/green] "


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
                self._done(f"Tenant {self._name(event.demo.tenant_id)} {word}, with a new key")
            case Turn():
                self._turn(event)
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

    def conclude(self, addresses: Mapping[str, str], admin_key: str, seconds: float) -> None:
        """Print where everything is and what to try next."""
        table = Table(box=None, show_header=False, padding=(0, 2))
        for part, title in _ADDRESSES.items():
            if part in addresses:
                table.add_row(title, Text(addresses[part], style="bold"))
        table.add_row("Administrator's key", Text(admin_key, style="yellow"))
        for tenant in self._tenants:
            table.add_row(
                f"Key of {tenant.demo.tenant_id}", Text(tenant.key, style="yellow", overflow="fold")
            )
        title = f"[bold]Tenantry is running[/bold] ({seconds:.1f} s)"
        self._console.print()
        self._console.print(Panel(table, title=title, expand=False))
        for tenant in self._tenants:
            line = f"Key of {self._name(tenant.demo.tenant_id)}: [yellow]{tenant.key}[/yellow]"
            self._console.print(line, soft_wrap=True)
        if self._tenants:
            self._console.print("\nTalk to it:\n")
            self._console.print(_curl(addresses["app"], self._tenants[0].key), style="dim", soft_wrap=True)
        self._console.print("\nCtrl-C stops everything.")

    def _turn(self, turn: Turn) -> None:
        colour = _COLOURS.get(turn.tenant_id, "white")
        body = Text.assemble(
            ("customer  ", "dim"), turn.question, "\n", ("bot       ", "dim"), (turn.answer.strip(), colour)
        )
        title = f"{turn.tenant_id} · conversation {CONVERSATION} · turn {turn.number} · {turn.tokens} tokens"
        self._console.print(Panel(body, title=title, title_align="left", border_style=colour))

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


def _curl(app: str, key: str) -> str:
    return (
        f"curl -s {app}/api/v1/bots/helpdesk/chat -H 'Authorization: Bearer {key}' "
        """-d '{"message": "Hello!", "variables": {"company": "Acme", "language": "English"}}'"""
    )
