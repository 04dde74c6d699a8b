"""Model call: what it is made for, what is learnt of it on the way, and the record that is kept of it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from decimal import Decimal

    from shared.contracts import PromptUse, Usage
    from shared.llm.deployments import ModelDeployment


class CallStatus(StrEnum):
    """End of a model call.

    `refused` is what the budget, the provider's filter or the model does not take; `cancelled` is a call
    whose caller left, or had no more time, before the answer was whole.
    """

    SUCCEEDED = "succeeded"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCallRecord:
    """Record of one model call that is over, with the fields of design/api.md and no text.

    Attributes:
        time: When it began.
        request_id: The request or message in whose work it was made.
        tenant_id: Whose budget it came out of.
        key_id: The tenant's key that asked for it; None where something else did.
        user_id: The user that it was made for.
        app_id: The tenant's application that called.
        bot_id: The bot that answers with it.
        conversation_id: The conversation that it is part of.
        turn: The number of the turn there.
        job_id: The job that it is part of.
        step: The part of a turn or a job that it is.
        prompt_name: The prompt that its instructions come from.
        prompt_version: The version of that.
        model: The catalogue's name of the model that was asked for.
        deployment: The catalogue's name of the deployment that was asked last; None where none was.
        provider: The interface of that.
        stream: Whether the answer was asked for in parts.
        prompt_tokens: Tokens of the prompt, as they were reported to the ledger; None where nothing was.
        cached_tokens: Those of them that the provider had in its cache.
        completion_tokens: Tokens of the answer.
        reasoning_tokens: Those of them that it was thought with.
        cost: The cost of these tokens; None where they or the model's price are not known.
        currency: The currency of the cost.
        attempts: How often a deployment was asked.
        fallback_from: The model in whose place another deployment was asked; None where its own was.
        wait_ms: How long the ledger took to admit it.
        time_to_first_token_ms: How long its caller waited for the first part of a stream.
        duration_ms: How long its caller waited for its end.
        overhead_ms: That without the ledger's time and the deployments'.
        finish_reason: Why the answer ended.
        status: How the call ended.
        error: The kind of error that it ended with, where it failed or was refused.
    """

    time: datetime
    request_id: str | None
    tenant_id: str
    key_id: str | None
    user_id: str | None
    app_id: str
    bot_id: str | None
    conversation_id: str | None
    turn: int | None
    job_id: str | None
    step: str | None
    prompt_name: str | None
    prompt_version: int | None
    model: str
    deployment: str | None
    provider: str | None
    stream: bool
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    reasoning_tokens: int | None
    cost: Decimal | None
    currency: str | None
    attempts: int
    fallback_from: str | None
    wait_ms: float
    time_to_first_token_ms: float | None
    duration_ms: float
    overhead_ms: float
    finish_reason: str | None
    status: CallStatus
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOrigin:
    """Purpose of a model call; it travels with the prompt.

    Attributes:
        bot_id: The bot that answers with it.
        conversation_id: The conversation that it is part of.
        turn: The number of the turn there.
        job_id: The job that it is part of.
        step: The part of a turn or a job that it is.
        prompt: The version of the prompt that its instructions come from.
        on_record: Is given the record of each call, when the call is over.
        on_begin: Is given what is learnt of each call, from its beginning on.
    """

    bot_id: str | None = None
    conversation_id: str | None = None
    turn: int | None = None
    job_id: str | None = None
    step: str | None = None
    prompt: PromptUse | None = None
    on_record: Callable[[ModelCallRecord], None] | None = field(default=None, compare=False)
    on_begin: Callable[[CallProgress], None] | None = field(default=None, compare=False)


class BudgetStatus(Protocol):
    """Headroom of a budget right after a lock was taken out of it; seconds until all of it is there again."""

    @property
    def available_tokens(self) -> int:
        """The size of the largest lock that would be admitted."""
        ...

    @property
    def limit_tokens(self) -> int:
        """The most tokens of any 60 seconds."""
        ...

    @property
    def available_requests(self) -> int:
        """How many more locks would be admitted."""
        ...

    @property
    def limit_requests(self) -> int:
        """The most locks of any 60 seconds."""
        ...

    @property
    def reset_time_seconds(self) -> float:
        """Seconds until the whole limit is available, if nothing more is taken."""
        ...


@dataclass(slots=True)
class CallProgress:
    """Facts of a call that those learn who answer it, one inside the other; they travel with the prompt, too.

    Attributes:
        now: Tells seconds on a clock that never steps back.
        began_at: When the call began, on that clock.
        route: The deployments that may be asked; none before the catalogue was.
        deployment: The one that was asked last.
        attempts: How often one was asked.
        usage: What was reported to the ledger.
        wait_seconds: How long the ledger took to admit it.
        asking_seconds: How long the deployments took.
        budget: The budget's headroom after the call's lock, where the ledger tells.
    """

    now: Callable[[], float] = time.monotonic
    began_at: float = field(init=False)
    route: tuple[ModelDeployment, ...] = ()
    deployment: ModelDeployment | None = None
    attempts: int = 0
    usage: Usage | None = None
    wait_seconds: float = 0.0
    asking_seconds: float = 0.0
    budget: BudgetStatus | None = None
    _asked_at: float | None = None

    def __post_init__(self) -> None:
        self.began_at = self.now()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Take the block for a wait for the ledger."""
        began_at = self.now()
        try:
            yield
        finally:
            self.wait_seconds += self.now() - began_at

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Take the block for the deployments' time, unless it is over before (`end_asking`)."""
        self._asked_at = self.now()
        try:
            yield
        finally:
            self.end_asking()

    def overhead_seconds(self, since: float) -> float:
        """Return the seconds since a moment of its clock that neither the ledger nor a deployment took."""
        now = self.now()
        asking = 0.0 if self._asked_at is None else now - self._asked_at
        return max(0.0, now - since - self.wait_seconds - self.asking_seconds - asking)

    def end_asking(self) -> None:
        """Note that the answer is whole."""
        if self._asked_at is not None:
            self.asking_seconds += self.now() - self._asked_at
            self._asked_at = None
