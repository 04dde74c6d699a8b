"""A deployment's prompts over HTTP; a batch that is sent again is done once."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ConfigDict, ValidationError

from tenantry_client.errors import OverlongAnswerError, UnexpectedAnswerError
from tenantry_client.http.service import Times
from tenantry_client.prompts.models import MOST_AT_ONCE, Facts, RemotePrompt, json_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tenantry_client.http.service import HttpService

TIMES = Times(attempt=60, total=200, backoff=0.5)
MOST_PAGES = 2_000
"""Pages of a list that are read: 200,000 prompts. What has more has no end."""

MOST_ANSWER_BYTES = 32 * 1024 * 1024
_PROMPTS = "/api/v1/prompts"
_NOT_FOUND = 404


class RemoteModel(BaseModel):
    """Part of an answer; what a newer release adds is tolerated."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class ItemFailure(RemoteModel):
    """Why an item was refused."""

    message: str
    status: int = 0


class SavedPrompt(RemoteModel):
    """One item of a batch that was saved: its version, or why there is none."""

    version: int | None
    failure: ItemFailure | None


class _ListedPrompt(RemoteModel):
    name: str


class _PromptPage(RemoteModel):
    items: list[_ListedPrompt]
    next_cursor: str | None


class _GetResult(RemoteModel):
    prompt: Facts | None
    failure: ItemFailure | None = None


class _GetResults(RemoteModel):
    results: list[_GetResult]


class _SaveResults(RemoteModel):
    results: list[SavedPrompt]


@dataclass(frozen=True, slots=True)
class FoundPrompts:
    """Prompts that are there, by name, and why others cannot be told; the rest is not there."""

    prompts: dict[str, RemotePrompt] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


class Deployment:
    """The prompts of one tenant, or the global ones, of a deployment.

    Args:
        service: The deployment, with the key.
        source: Whose prompts: `tenant` or `global`.
        headers: Sent with each request, such as the tenant that an administrator acts for.
    """

    def __init__(
        self, service: HttpService, source: str = "tenant", headers: Mapping[str, str] | None = None
    ) -> None:
        self._service = service
        self._headers = dict(headers or {})
        self.source = source

    async def names(self) -> list[str]:
        """Return the names of all prompts.

        Raises:
            UnexpectedAnswerError: Its pages do not end, or are none.
            TenantryError: The deployment refused, or does not answer.
        """
        found: list[str] = []
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            query = {"limit": str(MOST_AT_ONCE), "scope": self.source} | (
                {"cursor": cursor} if cursor else {}
            )
            page = _read(_PromptPage, await self._ask("GET", f"{_PROMPTS}?{urlencode(query)}"))
            found += [prompt.name for prompt in page.items]
            cursor = page.next_cursor
            if cursor is None:
                return found
        raise UnexpectedAnswerError(f"The deployment's list has more than {MOST_PAGES} pages")

    async def get(self, names: Sequence[str]) -> FoundPrompts:
        """Return those prompts, at most 100 in a call, that are there and of this source.

        An answer may be too large for all of them: what it leaves out is asked for again, in smaller parts.

        Raises:
            TenantryError: The deployment refused, or does not answer.
        """
        found = FoundPrompts()
        left = [list(names)]
        while left:
            part = left.pop()
            again = await self._get_part(part, found)
            if len(again) < len(part):
                left += [again] if again else []
            elif len(part) == 1:
                found.failures.setdefault(part[0], "The deployment does not answer it")
            else:
                middle = len(part) // 2
                left += [part[:middle], part[middle:]]
        return found

    async def _get_part(self, names: Sequence[str], found: FoundPrompts) -> list[str]:
        """Add those that are answered; return those to ask for again."""
        try:
            answer = await self._ask("POST", f"{_PROMPTS}/batch-get", json_bytes({"names": list(names)}))
        except OverlongAnswerError as error:
            found.failures.update(dict.fromkeys(names, error.message) if len(names) == 1 else {})
            return list(names)
        results = _read(_GetResults, answer).results
        if len(results) != len(names):
            raise UnexpectedAnswerError(
                "The deployment answered another number of prompts than was asked for"
            )
        again: list[str] = []
        for name, result in zip(names, results, strict=True):
            if result.prompt is not None:
                self._add(name, result.prompt, found)
            elif result.failure is not None and result.failure.status != _NOT_FOUND:
                again.append(name)
                if len(names) == 1:
                    found.failures[name] = result.failure.message
        return again

    def _add(self, name: str, facts: Facts, found: FoundPrompts) -> None:
        try:
            prompt = RemotePrompt.parse(facts)
        except ValidationError as error:
            at = ".".join(map(str, error.errors(include_url=False, include_input=False)[0]["loc"]))
            found.failures[name] = f"This release cannot read its {at}"
            return
        if prompt.name != name:
            found.failures[name] = "The deployment answered another prompt"
        elif prompt.source == self.source:
            found.prompts[name] = prompt

    async def save(self, items: Sequence[bytes]) -> list[SavedPrompt]:
        """Save prompts, each as JSON, and return what became of each, in order.

        Raises:
            UnexpectedAnswerError: The answer is not one result for each prompt.
            TenantryError: The deployment refused, or does not answer.
        """
        answer = await self._ask(
            "POST",
            f"{_PROMPTS}/batch-save?scope={self.source}",
            b'{"prompts":[%b]}' % b",".join(items),
            {"idempotency-key": uuid.uuid4().hex},
        )
        results = _read(_SaveResults, answer).results
        if len(results) != len(items):
            raise UnexpectedAnswerError("The deployment answered another number of prompts than was sent")
        return results

    async def move_label(self, name: str, label: str, version: int, reason: str | None) -> None:
        """Let a label point at a version.

        Raises:
            TenantryError: The deployment refused, or does not answer.
        """
        path = f"{_PROMPTS}/{quote(name, safe='')}/labels/{quote(label, safe='')}?scope={self.source}"
        body: Facts = {"version": version} | ({"reason": reason} if reason else {})
        await self._ask("PUT", path, json_bytes(body))

    async def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        return (await self._service.request(method, path, body, self._headers | dict(headers or {}))).body


def _read[M: RemoteModel](model: type[M], content: bytes) -> M:
    try:
        return model.model_validate_json(content)
    except ValidationError:
        pass
    raise UnexpectedAnswerError("The address is no deployment's: it answered something else")
