"""Records of model calls: a line of the log and a span for each, whatever it ends in. No text is in them."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from shared.contracts import Usage
from shared.errors import APIError, InternalError
from shared.llm.model_call import CallProgress, CallStatus, ModelCallRecord
from shared.logging.context import log_context, logging_as
from shared.logging.logger import get_logger
from shared.logging.redaction import redact
from shared.telemetry.spans import model_telemetry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from decimal import Decimal

    from shared.clock import Clock
    from shared.llm.model_call import CallOrigin
    from shared.telemetry.spans import SpanFacts
    from shared.tenancy.context import TenantContext

EVENT = "model_call"
"""The `event` of a record's line."""

_OF_THE_LINE = {"request_id", "tenant_id"}
"""Every line of the log has them beside its own fields."""

_LOGGED = tuple(one.name for one in fields(ModelCallRecord) if one.name not in _OF_THE_LINE)
_AZURE = "azure.ai.openai"
_OPENAI = "openai"
_logger = get_logger(__name__)


class RecordedPrompt(Protocol):
    """Prompt of a call, as far as a record needs one."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def model(self) -> str:
        """The name of the model in the catalogue."""
        ...

    @property
    def user(self) -> str | None:
        """Whom the call is made for."""
        ...

    @property
    def origin(self) -> CallOrigin:
        """What the call is made for."""
        ...

    @property
    def progress(self) -> CallProgress:
        """What is learnt of the call on the way."""
        ...


@dataclass(frozen=True, slots=True)
class CallKind:
    """Kind of a call.

    Attributes:
        operation: What OpenTelemetry's conventions call it.
        stream: Whether the answer comes in parts.
        attributes: What of the request a span tells.
    """

    operation: str = "chat"
    stream: bool = False
    attributes: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(slots=True)
class CallInWork[P: RecordedPrompt]:
    """A call that is going on.

    Attributes:
        prompt: The prompt, with a progress of its own.
        kind: What kind of call it is.
        begun: When it began.
        is_open: Whether its stream is its caller's: what is raised in there then is not the model's.
        first_at: When the first part came, on the clock of its progress.
        ended_at: When it was over, on that clock.
        answered_by: The model that answered, by its provider's name, once the answer is whole.
        finish_reason: Why the answer ended, where it tells.
        status: How it ended; None while it goes on.
        error: The kind of error that it ended with.
        record: Its record, once it is over.
    """

    prompt: P
    kind: CallKind
    begun: datetime
    is_open: bool = False
    first_at: float | None = None
    ended_at: float = 0.0
    answered_by: str | None = None
    finish_reason: str | None = None
    status: CallStatus | None = None
    error: str | None = None
    record: ModelCallRecord | None = None

    def note_first(self) -> None:
        """Note that a part of the answer came: the first one counts."""
        if self.first_at is None:
            self.first_at = self.prompt.progress.now()

    def succeed(self, answered_by: str, finish_reason: str | None = None) -> None:
        """Note that the answer is whole."""
        self.answered_by, self.finish_reason = answered_by, finish_reason
        self._end(CallStatus.SUCCEEDED)

    def end_by(self, error: BaseException) -> bool:
        """Note what its caller's block was left with; tell whether that is an error of the call."""
        if not self.is_open and isinstance(error, Exception):
            self.fail(error)
        self.leave()
        return self.error == type(error).__name__

    def leave(self) -> None:
        """Note that its caller wants no more of it."""
        if self.status is None:
            self._end(CallStatus.CANCELLED)

    def fail(self, error: Exception) -> None:
        """Note what the model, the catalogue or the budget failed with."""
        self.error = type(error).__name__
        is_refusal = isinstance(error, APIError) and error.status < InternalError.status
        self._end(CallStatus.REFUSED if is_refusal else CallStatus.FAILED)

    def _end(self, status: CallStatus) -> None:
        self.status = status
        self.ended_at = self.prompt.progress.now()


class CallRecorder:
    """Keeper of the records of one application's calls.

    Args:
        tenant: Who asks.
        app_id: The tenant's application that asks.
        currency: The currency of the catalogue's prices.
        clock: Measures.

    Attributes:
        tenant: Who asks.
    """

    def __init__(self, tenant: TenantContext, app_id: str, currency: str, clock: Clock) -> None:
        self.tenant = tenant
        self._app_id = app_id
        self._currency = currency
        self._clock = clock

    @contextmanager
    def record[P: RecordedPrompt](self, prompt: P, kind: CallKind) -> Iterator[CallInWork[P]]:
        """Keep a record of what the block asks."""
        progress = CallProgress(self._clock.monotonic)
        call = CallInWork(replace(prompt, progress=progress), kind, self._clock.now())
        if prompt.origin.on_begin is not None:
            prompt.origin.on_begin(progress)
        with ExitStack() as span:
            told = span.enter_context(model_telemetry(kind.operation))
            try:
                yield call
            except BaseException as error:
                is_own = call.end_by(error)
                self._keep(call, told)
                if not is_own:
                    span.close()  # the caller's failure is none of the call's
                raise
            call.leave()
            self._keep(call, told)

    def _keep(self, call: CallInWork[Any], told: SpanFacts | None) -> None:
        record = call.record = self._make_record(call)
        with logging_as(tenant_id=self.tenant.tenant_id):
            _logger.info("Model call", extra=log_fields(record))
        if told is not None:
            _tell_span(told, record, call)
        if (on_record := call.prompt.origin.on_record) is not None:
            on_record(record)

    def _make_record(self, call: CallInWork[Any]) -> ModelCallRecord:
        prompt: RecordedPrompt = call.prompt
        progress = prompt.progress
        origin, used = prompt.origin, progress.usage
        deployment, cost = progress.deployment, _cost_of(progress)
        duration = call.ended_at - progress.began_at
        return ModelCallRecord(
            time=call.begun,
            request_id=log_context().request_id,
            tenant_id=self.tenant.tenant_id,
            key_id=self.tenant.key_id,
            user_id=prompt.user,
            app_id=self._app_id,
            bot_id=origin.bot_id,
            conversation_id=origin.conversation_id,
            turn=origin.turn,
            job_id=origin.job_id,
            step=origin.step,
            prompt_name=None if origin.prompt is None else origin.prompt.name,
            prompt_version=None if origin.prompt is None else origin.prompt.version,
            model=prompt.model,
            deployment=None if deployment is None else deployment.name,
            provider=None if deployment is None else deployment.provider,
            stream=call.kind.stream,
            prompt_tokens=None if used is None else used.prompt_tokens,
            cached_tokens=None if used is None else used.cached_tokens,
            completion_tokens=None if used is None else used.completion_tokens,
            reasoning_tokens=None if used is None else used.reasoning_tokens,
            cost=cost,
            currency=None if cost is None else self._currency,
            attempts=progress.attempts,
            fallback_from=None if deployment is None or deployment.name == prompt.model else prompt.model,
            wait_ms=_milliseconds(progress.wait_seconds),
            time_to_first_token_ms=(
                None if call.first_at is None else _milliseconds(call.first_at - progress.began_at)
            ),
            duration_ms=_milliseconds(duration),
            overhead_ms=_milliseconds(max(0.0, duration - progress.wait_seconds - progress.asking_seconds)),
            finish_reason=call.finish_reason,
            status=call.status or CallStatus.CANCELLED,
            error=call.error,
        )


def _cost_of(progress: CallProgress) -> Decimal | None:
    """Return the cost by the price of the model that was asked for, as usage is charged by it, too."""
    price = progress.route[0].price if progress.route else None
    return None if price is None or progress.usage is None else price.cost(progress.usage)


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1_000, 1)


def log_fields(record: ModelCallRecord) -> dict[str, object]:
    """Return the fields of a record's line of the log."""
    values: dict[str, object] = {name: getattr(record, name) for name in _LOGGED}
    cost = None if record.cost is None else f"{record.cost:f}"
    return {"event": EVENT} | values | {"cost": cost}


def _tell_span(told: SpanFacts, record: ModelCallRecord, call: CallInWork[Any]) -> None:
    """Fill a span by OpenTelemetry's conventions for generative AI, but for the texts that these allow."""
    progress: CallProgress = call.prompt.progress
    deployment = progress.deployment
    if progress.route:  # the name is the catalogue's, and no text of a caller's
        told.attributes["name"] = f"{call.kind.operation} {record.model}"
        told.measured["gen_ai.request.model"] = record.model
    if deployment is not None:
        told.measured["gen_ai.provider.name"] = _AZURE if deployment.provider.is_azure else _OPENAI
    used = progress.usage or Usage()
    address = None if deployment is None else deployment.address
    first_ms = record.time_to_first_token_ms
    known: dict[str, str | float | tuple[str, ...] | None] = {
        "gen_ai.conversation.id": None if record.conversation_id is None else redact(record.conversation_id),
        "gen_ai.request.stream": record.stream or None,
        **call.kind.attributes,
        "gen_ai.response.model": call.answered_by,
        "gen_ai.response.finish_reasons": None if record.finish_reason is None else (record.finish_reason,),
        "gen_ai.response.time_to_first_chunk": None if first_ms is None else first_ms / 1_000,
        "gen_ai.usage.input_tokens": record.prompt_tokens,
        "gen_ai.usage.output_tokens": record.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": used.cached_tokens or None,
        "gen_ai.usage.reasoning.output_tokens": used.reasoning_tokens or None,
        "server.address": None if address is None else address.host,
        "tenantry.tenant_id": record.tenant_id,
        "tenantry.request_id": record.request_id,
        "tenantry.deployment": record.deployment,
        "tenantry.attempts": record.attempts,
        "tenantry.status": record.status,
    }
    told.attributes.update({name: value for name, value in known.items() if value is not None})
