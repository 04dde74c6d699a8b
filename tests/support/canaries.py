"""Words that nobody else uses, put wherever callers have words: what is logged must have none of them.

They are other ones in each run; `TENANTRY_CANARIES` repeats a run by the seed that it printed.
"""

from __future__ import annotations

import os
import random
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.isolation import SETUP, Operation, operation, operations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TEXTS = {
    *("message", "template", "text", "title", "comment", "description", "system_prompt", "reason", "csv"),
    *("input", "instructions", "content", "value"),
}
"""Members of bodies that people fill with words."""

NAMED = {"create_key", "create_tenant", "update_tenant"}
"""Operations whose `name` is for people; those of others are ids, which lines may have."""

STREAMED = {"chat", "create_chat_completion", "create_response"}
_UNKNOWN = dict.fromkeys(("import_id", "webhook_id", "key_id", "lock_id", "response_id"), "none")


@dataclass(frozen=True)
class CanaryCall:
    """A call of an operation with canaries in it."""

    operation: Operation
    path: Mapping[str, str]
    query: str = ""
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    learns: Mapping[str, str] = field(default_factory=dict)


class Canaries:
    """Texts with a secret, a prompt's words and somebody's data; each of these is known.

    Args:
        seed: Of what they are made from; a new one, which is printed, where None.
    """

    def __init__(self, seed: int | None = None) -> None:
        given = os.environ.get("TENANTRY_CANARIES")
        self.seed = seed if seed is not None else int(given) if given else secrets.randbits(32)
        self.known: set[str] = set()
        self._chance = random.Random(self.seed)  # noqa: S311  # a run that fails is to be repeated
        print(f"TENANTRY_CANARIES={self.seed}")  # noqa: T201  # shown with what fails

    def word(self) -> str:
        """Return one word that can stand in a URL, too."""
        word = f"canary{self._chance.randbytes(8).hex()}"
        self.known.add(word)
        return word

    def text(self) -> str:
        """Write a text with one of each kind."""
        bits = self._chance.randbytes
        mail = f"{bits(6).hex()}@{bits(4).hex()}.example"
        phone = f"+4915{self._chance.randrange(10**9):09}"
        key, password = f"sk-{bits(16).hex()}", bits(10).hex()
        self.known |= {mail, phone, key, password}
        return f"My {self.word()} is {mail}, {phone}, {key}, password={password}"

    def filled(self, body: object, name: str = "", texts: frozenset[str] = frozenset(TEXTS)) -> Any:  # noqa: ANN401  # JSON of any shape
        """Put canaries where a body has words."""
        match body:
            case dict():
                return {member: self.filled(value, member, texts) for member, value in body.items()}
            case list():
                return [self.filled(value, name, texts) for value in body]
            case str() if name == "url":
                return f"{body}/{self.word()}"
            case str() if name in texts:
                return f'language,text\nen,"{self.text()}"\n' if name == "csv" else self.text()
            case _:
                return body

    def of(self, one: Operation, body: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Return an operation's body with canaries in it."""
        texts = frozenset(TEXTS | ({"name"} if one.name in NAMED else set()))
        return None if body is None else dict(self.filled(dict(body), texts=texts))

    def learn(self, told: object) -> None:
        """Take the secrets of an answer for canaries, too."""
        if isinstance(told, dict):
            self.known |= {told[member] for member in ("key", "secret") if isinstance(told.get(member), str)}

    def found_in(self, text: str) -> set[str]:
        """Return those that stand in a text."""
        return {canary for canary in self.known if canary in text}

    def setup(self, names: Mapping[str, str]) -> Iterator[CanaryCall]:
        """Go through the calls by which a tenant comes by something of everything."""
        for step in SETUP:
            one = operation(step.operation)
            body = self.of(one, step.body)
            yield CanaryCall(one, one.address({**_UNKNOWN, **names}), body=body, learns=step.learns)

    def calls(self, names: Mapping[str, str]) -> Iterator[CanaryCall]:
        """Go through calls of each operation that keeps tenant and key: as they should be, and broken."""
        known = {**_UNKNOWN, **names}
        for one in operations():
            if one.method == "DELETE" or one.name == "rotate_key":
                continue
            path, body = one.address(known), self.of(one, one.body(known))
            query = f"x={self.text()}".replace(" ", "+").replace("@", "%40")
            yield CanaryCall(one, path, one.needed_query(known), body)
            yield CanaryCall(one, path, query, body)
            stranger = {"authorization": f"Bearer tk.acme.{self.word()}.{self.word()}"}
            yield CanaryCall(one, path, body=body, headers=stranger)
            if body is None:
                continue
            yield CanaryCall(one, path, body=body | {self.text(): self.text()})
            yield CanaryCall(one, path, body={member: [self.text()] for member in body})
            yield CanaryCall(one, path, body=body, headers={"idempotency-key": self.word()})
            if one.name in STREAMED:
                yield CanaryCall(one, path, body=body | {"stream": True})
