"""A deployment's prompts over HTTP: three attempts each, and a batch that is sent again is done once."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Self

import httpx
from pydantic import BaseModel, ConfigDict, JsonValue

from shared.errors import APIError
from shared.prompts.batches import parse_draft
from shared.prompts.models import Example, PromptDraft, PromptSource, Template, VariableDeclaration
from shared.resilience.dependency import Dependency
from shared.resilience.policy import Policy, Transient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.clock import Clock
    from shared.prompts.models import NamedDraft

AT_ONCE = 100
MAX_BODY_BYTES = 900_000
"""Below the megabyte that a deployment takes."""

_AGAIN = frozenset({429, 502, 503, 504})
_POLICY = Policy(attempts=3, attempt_seconds=60, total_seconds=200, backoff_seconds=0.5)


class Remote(BaseModel):
    """What a deployment answers; what a newer release adds is tolerated."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Read an answer."""
        return cls.model_validate_json(content, extra="ignore")


class RemotePrompt(Remote):
    """The latest version of a prompt."""

    name: str
    template: Template
    description: str | None
    tags: tuple[str, ...]
    config: dict[str, JsonValue]
    declared_variables: dict[str, VariableDeclaration]
    examples: tuple[Example, ...]
    source: PromptSource
    etag: str

    @property
    def draft(self) -> PromptDraft:
        """Return what would make the same version.

        Raises:
            ValidationError: A newer release takes what this one does not.
        """
        return parse_draft(PromptDraft, self.model_dump(mode="json", exclude={"name", "source", "etag"}))


class Failure(Remote):
    """Why an item was refused."""

    message: str


class Saved(Remote):
    """What became of one item of a batch."""

    version: int | None
    failure: Failure | None


class _Named(Remote):
    name: str


class _Page(Remote):
    items: list[_Named]
    next_cursor: str | None


class _Got(Remote):
    prompt: RemotePrompt | None


class _BatchGot(Remote):
    results: list[_Got]


class _BatchSaved(Remote):
    results: list[Saved]


class RefusedError(Exception):
    """The deployment refused a request as a whole; the message is its own."""


class _AskAgainError(Exception):
    """The deployment is busy, starting or restarting."""

    def __init__(self, status: int, retry_after: float) -> None:
        super().__init__(f"it answered {status}")
        self.retry_after = retry_after


def _classify(error: BaseException) -> Transient | None:
    if isinstance(error, _AskAgainError):
        return Transient(error.retry_after)
    return Transient() if isinstance(error, httpx.TransportError) else None


class Deployment:
    """The prompts of one tenant, or the global ones, of a deployment.

    Args:
        client: Speaks to it, with the key in its headers.
        source: Whose prompts.
        clock: Waits between attempts.
    """

    def __init__(self, client: httpx.AsyncClient, source: PromptSource, clock: Clock | None = None) -> None:
        self._client = client
        self._dependency = Dependency("The deployment", _classify, _POLICY, clock)
        self.source = source

    async def names(self) -> list[str]:
        """Return the names of all prompts.

        Raises:
            RefusedError: The key is not valid, or may not do this.
            DependencyUnavailableError: It does not answer.
        """
        found: list[str] = []
        cursor: str | None = None
        while True:
            query = {"limit": str(AT_ONCE), "scope": self.source.value} | (
                {"cursor": cursor} if cursor else {}
            )
            page = _read(_Page, await self._ask("GET", "/api/v1/prompts", params=query))
            found += [prompt.name for prompt in page.items]
            cursor = page.next_cursor
            if cursor is None:
                return found

    async def get(self, names: Sequence[str]) -> list[RemotePrompt]:
        """Return those prompts, at most 100 in a call, that are there and of this source.

        Raises:
            RefusedError: The key is not valid, or may not do this.
            DependencyUnavailableError: It does not answer.
        """
        body = json.dumps({"names": list(names)}).encode()
        got = _read(_BatchGot, await self._ask("POST", "/api/v1/prompts/batch-get", content=body))
        prompts = [result.prompt for result in got.results if result.prompt is not None]
        return [prompt for prompt in prompts if prompt.source is self.source]

    async def save(self, drafts: Sequence[NamedDraft]) -> list[Saved]:
        """Save prompts and return what became of each, in order.

        Raises:
            RefusedError: The key is not valid, or may not do this.
            DependencyUnavailableError: It does not answer.
        """
        items = b",".join(item_of(draft) for draft in drafts)
        answer = await self._ask(
            "POST",
            "/api/v1/prompts/batch-save",
            params={"scope": self.source.value},
            content=b'{"prompts":[%b]}' % items,
            headers={"idempotency-key": uuid.uuid4().hex},
        )
        return _read(_BatchSaved, answer).results

    async def _ask(self, method: str, path: str, **request: object) -> bytes:
        async def attempt() -> httpx.Response:
            answer = await self._client.send(self._client.build_request(method, path, **request))  # type: ignore[arg-type]  # httpx's own keywords
            if answer.status_code in _AGAIN:
                after = answer.headers.get("retry-after", "")
                raise _AskAgainError(answer.status_code, float(after) if after.isdecimal() else 1.0)
            return answer

        try:
            answer = await self._dependency.call(attempt)
        except APIError as error:
            reason = f" ({error.__cause__})" if error.__cause__ is not None else ""
            raise RefusedError(f"{error.message}{reason}") from error
        if not answer.is_success:
            raise RefusedError(_message(answer))
        return answer.content


def item_of(draft: NamedDraft) -> bytes:
    """Write an item of a batch as JSON."""
    return draft.model_dump_json(exclude_defaults=True).encode()


def _read[M: Remote](model: type[M], content: bytes) -> M:
    try:
        return model.parse(content)
    except ValueError as error:
        raise RefusedError("What answers there is no deployment of this app") from error


def _message(answer: httpx.Response) -> str:
    try:
        return f"{answer.status_code}: {Failure.parse(answer.content).message}"
    except ValueError:
        return f"{answer.status_code}: {answer.text[:200]}"
