"""A sender whose answers are a script."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tenantry_client.http.service import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

type Step = Reply | Exception | Callable[[], Reply]


@dataclass(frozen=True)
class Sent:
    """One request."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None


@dataclass
class ScriptedSender:
    """Answers by a script, the last line again and again."""

    script: list[Step]
    requests: list[Sent] = field(default_factory=list)
    is_open: bool = False

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        self.requests.append(Sent(method, url, headers, body))
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, Exception):
            raise step
        return step if isinstance(step, Reply) else step()

    async def open(self) -> None:
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False


def answer(status: int, body: object = None, **headers: str) -> Reply:
    """Return an answer; underscores in the names of its headers stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, named, b"" if body is None else json.dumps(body).encode())
