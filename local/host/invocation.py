"""Values that pass between the host and a worker, free of any wire format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
    from datetime import timedelta
    from typing import Any

    type Scope = MutableMapping[str, Any]
    type Message = MutableMapping[str, Any]
    type Receive = Callable[[], Awaitable[Message]]
    type Send = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Json:
    """A value that crosses as JSON text."""

    text: str


@dataclass(frozen=True, slots=True)
class HttpInput:
    """A request as a classic function sees it: lower-case header names, one value per name."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class HttpOutput:
    """A response as a classic function returns it."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


type Value = str | bytes | int | float | Json | HttpInput | HttpOutput | list[str] | list[bytes] | None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an invocation failed, as the worker reports it."""

    message: str
    stack_trace: str = ""


@dataclass(frozen=True, slots=True)
class RetryAttempt:
    """Which attempt of a retry policy an invocation is; 0 is the first call."""

    count: int = 0
    limit: int = 0
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of one function."""

    id: str
    function_id: str
    inputs: Mapping[str, Value]
    metadata: Mapping[str, Value] = field(default_factory=dict)
    trace_parent: str = ""
    trace_state: str = ""
    retry: RetryAttempt = field(default_factory=RetryAttempt)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of one call."""

    return_value: Value = None
    outputs: Mapping[str, Value] = field(default_factory=dict)
    failure: Failure | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the function returned."""
        return self.failure is None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """A retry policy as a function declares it; a negative limit never gives up."""

    exponential: bool
    limit: int
    minimum: timedelta
    maximum: timedelta


@dataclass(frozen=True, slots=True)
class FunctionMetadata:
    """A function as the worker indexed it, its bindings still as raw JSON objects."""

    name: str
    function_id: str
    script_file: str
    bindings: Sequence[Mapping[str, Any]]
    retry: RetryPolicy | None


class Worker(Protocol):
    """Runs functions."""

    @property
    def streams_http(self) -> bool:
        """Whether HTTP functions take the request itself (`serve_http`) instead of a copy of it."""
        ...

    async def invoke(self, invocation: Invocation) -> Outcome:
        """Run a function to its end."""
        ...

    async def serve_http(self, invocation: Invocation, scope: Scope, receive: Receive, send: Send) -> Outcome:
        """Run an HTTP function on the request itself, and send its response as it is produced."""
        ...
