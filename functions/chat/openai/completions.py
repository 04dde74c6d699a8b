"""Chat completions: a plain answer and a stream, in OpenAI's form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from functions.chat.openai.merging import MergedChunks
from functions.chat.openai.models import ChatCompletionReply
from shared.http.route import JsonReply
from shared.http.streaming import StreamEnd, StreamEvent, render_event
from shared.llm.chat_model import PassedChunk
from shared.llm.passed_json import write_passed_json

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from functions.chat.openai.forwarding import ForwardedCall
    from shared.llm.model_call import BudgetStatus, CallProgress

DONE = "[DONE]"


@dataclass(frozen=True, slots=True)
class CompletionAnswer:
    """Answer to one request for a chat completion.

    Attributes:
        call: The call that answers it.
        arrived_at: When the request came in, on the clock that the call is measured by.
        with_usage: Whether the caller wants a stream's usage.
    """

    call: ForwardedCall
    arrived_at: float
    with_usage: bool = False

    async def complete(self) -> JsonReply[ChatCompletionReply]:
        """Return the provider's whole answer under the name that was asked for.

        Raises:
            APIError: The call's errors.
        """
        completion = await self.call.complete()
        answer = {**(completion.answer or {}), "model": self.call.name}
        return JsonReply[ChatCompletionReply](
            write_passed_json(answer).encode(), call_headers(self.call, self.arrived_at)
        )

    async def stream(
        self, headers: dict[str, str], *, is_kept: bool
    ) -> AsyncGenerator[StreamEvent | StreamEnd]:
        """Pass the provider's parts on as they come, and end as OpenAI does.

        Args:
            headers: Is given the stream's headers before its first part.
            is_kept: Whether the whole is kept for a request that is repeated, as a stream of one part.

        Raises:
            APIError: The call's errors, between the parts too.
        """
        whole = MergedChunks() if is_kept else None
        async with self.call.stream() as parts:
            headers |= call_headers(self.call, self.arrived_at)
            async for part in parts:
                if not isinstance(part, PassedChunk):
                    continue
                chunk = self._tell(part.event)
                if chunk is None:
                    continue
                if whole is not None:
                    whole.add(chunk)
                yield StreamEvent("", write_passed_json(chunk))
        done = render_event("", DONE)
        kept = b"" if whole is None else render_event("", write_passed_json(whole.merged()))
        yield StreamEnd(done, kept + done)

    def _tell(self, event: dict[str, object]) -> dict[str, object] | None:
        """Return a part under the name that was asked for; None of one that only tells unwanted usage."""
        if not self.with_usage and "usage" in event:
            if event["usage"] is not None and not event.get("choices"):
                return None
            event = {name: value for name, value in event.items() if name != "usage"}
        return {**event, "model": self.call.name}


class BegunCall(Protocol):
    """Call that may have begun."""

    @property
    def begun(self) -> Sequence[CallProgress]:
        """What is learnt of it, once it has."""
        ...


def call_headers(call: BegunCall, arrived_at: float) -> dict[str, str]:
    """Return what a call has cost beside the model's own time, and what is left of the budget.

    Args:
        call: The call.
        arrived_at: When its request came in, on the clock that the call is measured by.
    """
    if not call.begun:
        return {}
    progress = call.begun[-1]
    headers = {
        "x-tenantry-overhead-ms": _milliseconds(progress.overhead_seconds(arrived_at)),
        "x-tenantry-queue-ms": _milliseconds(progress.wait_seconds),
    }
    return headers if progress.budget is None else headers | budget_headers(progress.budget)


def budget_headers(status: BudgetStatus) -> dict[str, str]:
    """Return the headers by which OpenAI's clients learn what is left; durations in whole seconds."""
    reset = f"{math.ceil(status.reset_time_seconds)}s"
    return {
        "x-ratelimit-limit-requests": str(status.limit_requests),
        "x-ratelimit-limit-tokens": str(status.limit_tokens),
        "x-ratelimit-remaining-requests": str(status.available_requests),
        "x-ratelimit-remaining-tokens": str(status.available_tokens),
        "x-ratelimit-reset-requests": reset,
        "x-ratelimit-reset-tokens": reset,
    }


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1_000:.1f}"
