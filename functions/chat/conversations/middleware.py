"""Middleware: code that is told of each turn, before it, after it, of its parts and of its errors.

It looks on: it changes neither a turn nor its answer. One that fails, or takes too long, is logged, and the
turn goes on as if it were not there.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from shared.logging.logger import get_logger
from shared.resilience.run_to_completion import run_to_completion
from shared.telemetry.spans import count_cost, count_event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from functions.chat.conversations.models import ChatReply
    from shared.clock import Clock
    from shared.llm.model_call import ModelCallRecord
    from shared.tenancy.context import TenantContext

HOOK_SECONDS = 1.0
"""How long a hook may take."""

_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnContext:
    """A turn in work, as middleware sees it.

    Attributes:
        tenant: Whose turn it is.
        bot_id: The bot that answers.
        conversation_id: The conversation, as its caller knows it.
        turn: The turn's number there.
        user_id: The user of the turn, if one is known.
        message: What the user said.
        stream: Whether the answer is given in parts.
        began_at: When it began, on the monotonic clock.
        calls: The records of the model calls that were made for it so far.
    """

    tenant: TenantContext
    bot_id: str
    conversation_id: str
    turn: int
    user_id: str | None
    message: str = field(repr=False)
    stream: bool
    began_at: float
    calls: list[ModelCallRecord] = field(default_factory=list)


class TurnMiddleware:
    """Base of middleware; a subclass has the hooks that it needs.

    One object serves the turns of all tenants, many at a time: what a hook keeps, it keeps by tenant. A hook
    that takes longer than `HOOK_SECONDS` is ended; one that blocks its thread holds up everybody.
    """

    async def before_turn(self, turn: TurnContext) -> None:
        """Hear of a turn that has its number, before the model is asked."""

    async def on_part(self, turn: TurnContext, text: str) -> None:
        """Hear of the next part of a streamed answer, before its reader does."""

    async def after_turn(self, turn: TurnContext, reply: ChatReply) -> None:
        """Hear of a turn that is answered and stored, before its caller does."""

    async def on_error(self, turn: TurnContext, error: BaseException) -> None:
        """Hear of a turn that has no answer; where its caller left, by an `asyncio.CancelledError` or so."""


class MiddlewareChain:
    """Middleware in its order: `before_turn` and `on_part` from the first on, the others from the last on.

    Args:
        middleware: The middleware, the outermost first.
        hook_seconds: How long a hook may take.
    """

    def __init__(self, middleware: Sequence[TurnMiddleware] = (), hook_seconds: float = HOOK_SECONDS) -> None:
        self.hook_seconds = hook_seconds
        self._all = tuple(middleware)
        self.before = _having("before_turn", self._all)
        self.parts = _having("on_part", self._all)
        self.after = _having("after_turn", self._all[::-1])
        self.errors = _having("on_error", self._all[::-1])

    def joined(self, middleware: Sequence[TurnMiddleware]) -> MiddlewareChain:
        """Return a chain with more of it, within what there is."""
        return MiddlewareChain((*self._all, *middleware), self.hook_seconds) if middleware else self

    @asynccontextmanager
    async def around(self, turn: TurnContext) -> AsyncIterator[TurnHooks]:
        """Give the hooks of a turn, and tell them of what ends it, unless they were told of its answer."""
        hooks = TurnHooks(self, turn)
        try:
            yield hooks
        except BaseException as error:
            if self.errors and not hooks.is_answered:
                await run_to_completion(hooks.tell_error(error))
            raise


class TurnHooks:
    """The hooks of one turn.

    Attributes:
        is_answered: Whether they were told of its answer.

    Args:
        chain: The middleware.
        turn: The turn.
    """

    def __init__(self, chain: MiddlewareChain, turn: TurnContext) -> None:
        self.is_answered = False
        self._chain = chain
        self._turn = turn
        self._parts = chain.parts

    async def tell_beginning(self) -> None:
        """Tell that the turn begins."""
        for one in self._chain.before:
            await self._run(one, "before_turn")

    async def tell_part(self, text: str) -> None:
        """Tell of a part of the answer; a hook that fails is not told of the next ones."""
        for one in self._parts:
            if not await self._run(one, "on_part", text):
                self._parts = tuple(other for other in self._parts if other is not one)

    async def tell_answer(self, reply: ChatReply) -> None:
        """Tell of the answer."""
        self.is_answered = True
        for one in self._chain.after:
            await self._run(one, "after_turn", reply)

    async def tell_error(self, error: BaseException) -> None:
        """Tell that there is none."""
        for one in self._chain.errors:
            await self._run(one, "on_error", error)

    async def _run(self, middleware: TurnMiddleware, hook: str, *facts: object) -> bool:
        """Run a hook within its time; tell whether it did not fail."""
        try:
            async with asyncio.timeout(self._chain.hook_seconds):
                await getattr(middleware, hook)(self._turn, *facts)
        except asyncio.CancelledError as error:
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise  # the turn's own end
            _report_failure(middleware, hook, error)
            return False
        except Exception as error:  # noqa: BLE001  # whatever it raises, it loses no turn and hides no error
            _report_failure(middleware, hook, error)
            return False
        return True


class TurnLogging(TurnMiddleware):
    """Middleware that logs each turn in one line, with what it took and cost; nothing that anybody said.

    Args:
        clock: Measures.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def after_turn(self, turn: TurnContext, reply: ChatReply) -> None:
        """Log an answered turn."""
        _logger.info("Turn answered", extra=self._facts(turn) | {"finish_reason": reply.finish_reason})

    async def on_error(self, turn: TurnContext, error: BaseException) -> None:
        """Log a turn without an answer."""
        _logger.info("Turn without an answer", extra=self._facts(turn) | {"error": type(error).__name__})

    def _facts(self, turn: TurnContext) -> dict[str, object]:
        costs = [call.cost for call in turn.calls if call.cost is not None]
        tokens = sum((call.prompt_tokens or 0) + (call.completion_tokens or 0) for call in turn.calls)
        return {
            "event": "turn",
            "bot_id": turn.bot_id,
            "conversation_id": turn.conversation_id,
            "turn": turn.turn,
            "stream": turn.stream,
            "model_calls": len(turn.calls),
            "total_tokens": tokens,
            "cost": f"{sum(costs, Decimal()):f}" if costs else None,
            "duration_ms": round((self._clock.monotonic() - turn.began_at) * 1_000, 1),
        }


class CostTracking(TurnMiddleware):
    """Middleware that counts what turns cost, by model: also of those that have no answer."""

    async def after_turn(self, turn: TurnContext, reply: ChatReply) -> None:  # noqa: ARG002  # the hook's
        """Count the cost of an answered turn."""
        _count_costs(turn)

    async def on_error(self, turn: TurnContext, error: BaseException) -> None:  # noqa: ARG002  # the hook's
        """Count the cost of a turn without an answer."""
        _count_costs(turn)


def _count_costs(turn: TurnContext) -> None:
    for call in turn.calls:
        if call.cost is not None and call.currency is not None:
            count_cost(call.cost, call.model, call.currency)


def _having(hook: str, middleware: Sequence[TurnMiddleware]) -> tuple[TurnMiddleware, ...]:
    """Return the middleware that has a hook of its own: what hears nothing costs nothing."""
    return tuple(one for one in middleware if getattr(type(one), hook) is not getattr(TurnMiddleware, hook))


def _report_failure(middleware: TurnMiddleware, hook: str, error: BaseException) -> None:
    """Log where a hook failed, without its error's text: that may quote what somebody said."""
    name = type(middleware).__name__
    facts = {"middleware": name, "hook": hook, "error": type(error).__name__, "place": _place_of(error)}
    _logger.error("A middleware failed; the turn goes on without it", extra=facts)
    count_event("tenantry.middleware.failures", {"middleware": name, "hook": hook})


def _place_of(error: BaseException) -> str | None:
    """Return function and line where an error was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return None if trace is None else f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}"
