"""Addresses of all pages of the console, their parameters filled in with what a tenant has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.integration_tests.console.browser import Window

_PARAMETER = re.compile(r":([a-z_]+)")
_RANKS = {"user": 0, "tenant_admin": 1, "admin": 2}


class Asks(Protocol):
    """Caller of the API, as far as addresses need one."""

    def get(self, path: str) -> Any:  # noqa: ANN401  # JSON
        """Return what a resource answers."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """A page at an address; `pattern` is how the console has it, such as `/prompts/:name`."""

    pattern: str
    title: str
    role: str
    address: str | None

    def is_for(self, role: str) -> bool:
        """Tell whether a role may see it."""
        return _RANKS[role] >= _RANKS[self.role]

    @property
    def name(self) -> str:
        """A name for a file."""
        return self.pattern.strip("/").replace("/", "-").replace(":", "") or "home"


def find_places(window: Window, api: Asks, tenant_id: str) -> list[Place]:
    """Return every page that the console has; None is the address where there is nothing to show."""
    listed = window.module("lib/pages.js", "m.PAGES.map((page) => [page.path, page.title, page.role])")
    names = _Names(api, tenant_id)
    return [Place(path, title, role, names.fill(path)) for path, title, role in listed]


class _Names:
    """What parameters of addresses stand for, asked for when one needs it."""

    def __init__(self, api: Asks, tenant_id: str) -> None:
        self._api = api
        self._tenant_id = tenant_id
        self._bot_id: str | None = None

    def fill(self, pattern: str) -> str | None:
        names = _PARAMETER.findall(pattern)
        found = {name: self._find(name, pattern) for name in names}
        if any(value is None for value in found.values()):
            return None
        return _PARAMETER.sub(lambda match: quote(str(found[match[1]]), safe=""), pattern)

    def _find(self, name: str, pattern: str) -> str | None:
        found: Mapping[str, Callable[[], str | None]] = {
            "tenant_id": lambda: self._tenant_id,
            "name": lambda: self._first("/prompts", "name"),
            "bot_id": self._bot,
            "conversation_id": lambda: self._first(f"/bots/{self._bot()}/conversations", "conversation_id"),
            "job_id": lambda: self._first("/reasoning/jobs", "job_id"),
            "feedback_id": lambda: self._first("/feedback", "feedback_id"),
            "request_id": lambda: self._first("/calls", "request_id"),
            "webhook_id": lambda: self._first("/webhooks", "webhook_id"),
            "dead_letter_id": lambda: self._first("/dead-letters", "id"),
            "key": lambda: self._first("/settings", "key"),
        }
        assert name in found, f"say in {__name__} what :{name} of {pattern} is"
        return found[name]()

    def _bot(self) -> str | None:
        """Return a bot that somebody has talked to, else any."""
        if self._bot_id is None:
            bots = [str(bot["bot_id"]) for bot in self._api.get("/bots?limit=100")["items"]]
            talked = (bot for bot in bots if self._api.get(f"/bots/{bot}/conversations?limit=1")["items"])
            self._bot_id = next(talked, bots[0] if bots else None)
        return self._bot_id

    def _first(self, path: str, name: str) -> str | None:
        items = self._api.get(f"{path}?limit=1")["items"]
        return str(items[0][name]) if items else None
