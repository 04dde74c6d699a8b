"""Past of the demo's tenants: the requests of the days before, made from a seed and the day alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Literal

from local.demo.plan import generator
from local.demo.texts import texts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date
    from random import Random

    from local.demo.plan import PlannedBot, PlannedTenant

DAYS = 30
"""Days before the demo's first one that have a past."""

_REQUESTS_A_DAY = 12
_WEEKEND = 0.35
_SATURDAY = 5
_HOURS = (1, 1, 1, 1, 1, 2, 5, 12, 24, 34, 38, 36, 26, 32, 38, 36, 30, 22, 14, 10, 8, 6, 3, 2)
"""How busy each hour of UTC is, beside the others."""

_LATEST_SECOND = 3_400.0
"""Of an hour: what begins then is over before the day is."""

_BAD_DAY = 9
_BAD_HOURS = frozenset({13, 14})
"""So many days ago the model's provider was ill for two hours."""

_LAST_VERSION_DAYS = 14

_OPEN_ROUTES = ("get_prompt", "list_prompts", "render_prompt", "list_bots", "list_conversations", "get_usage")
_MILLISECOND = timedelta(milliseconds=1)

type CallEnd = Literal["succeeded", "refused", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCall:
    """A model call; its times are milliseconds, `at` is its end, `prompt` a prompt's name and version."""

    at: datetime
    model: str
    app_id: str
    bot_id: str | None = None
    step: str | None = None
    prompt: tuple[str, int] | None = None
    stream: bool = False
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    wait_ms: float = 0.0
    first_ms: float | None = None
    duration_ms: float = 0.0
    overhead_ms: float = 0.0
    attempts: int = 1
    end: CallEnd = "succeeded"
    error: str | None = None

    @property
    def is_paid(self) -> bool:
        """Whether it used tokens."""
        return self.end in {"succeeded", "cancelled"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRequest:
    """A request or a message that is over; `at` is its end.

    Attributes:
        route: The route's operation; None for a message of a queue.
        queue: The queue of a message.
        status: The HTTP status.
        first_ms: When a stream's first event was sent, after its beginning.
    """

    at: datetime
    request_id: str
    route: str | None = None
    queue: str | None = None
    duration_ms: float = 0.0
    first_ms: float | None = None
    status: int = 200
    error: str | None = None
    user_id: str | None = None
    conversation_id: str | None = None
    turn: int | None = None
    job_id: str | None = None
    calls: tuple[PastCall, ...] = ()


def past_day(tenant: PlannedTenant, day: date, days_ago: int, seed: int) -> list[PastRequest]:
    """Return a day's requests of a tenant, in the order of their ends.

    Args:
        tenant: Whose.
        day: The day, of UTC.
        days_ago: How many days before the demo's first one it is.
        seed: Another one makes another past.
    """
    random = generator(seed, tenant.tenant_id, day.isoformat())
    growth = 1.1 - 0.35 * days_ago / DAYS
    week = _WEEKEND if day.weekday() >= _SATURDAY else 1.0
    count = round(_REQUESTS_A_DAY * tenant.size * growth * week * random.uniform(0.8, 1.2))
    maker = _RequestMaker(tenant, random, days_ago)
    made = (request for number in range(count) for request in maker.make(day, number))
    return sorted(made, key=lambda request: request.at)


class _RequestMaker:
    """Makes the requests of one tenant's day."""

    def __init__(self, tenant: PlannedTenant, random: Random, days_ago: int) -> None:
        self._tenant = tenant
        self._random = random
        self._days_ago = days_ago

    def make(self, day: date, number: int) -> Iterator[PastRequest]:
        """Make one request that asks a model, and now and then one that does not."""
        random = self._random
        hour = random.choices(range(24), _HOURS)[0]
        begun = datetime.combine(day, time(hour), UTC) + timedelta(seconds=random.uniform(0, _LATEST_SECOND))
        kind = random.choices(("chat", "completion", "job", "feedback"), (74, 12, 9, 5))[0]
        match kind:
            case "chat":
                yield self._chat(begun, number)
            case "completion":
                yield self._ask(begun, PastRequest(at=begun, request_id="", route="create_chat_completion"))
            case "job":
                yield self._job(begun, number)
            case _:
                yield self._message(begun, "feedback-form-in", ("feedback",), f"f-{day:%m%d}-{number:03}")
        if random.random() < 0.3:  # noqa: PLR2004  # of three requests about one more
            yield self._read(begun + timedelta(seconds=random.uniform(1, 8)))

    def _chat(self, begun: datetime, number: int) -> PastRequest:
        random = self._random
        return self._ask(
            begun,
            PastRequest(
                at=begun,
                request_id="",
                route="chat",
                user_id=random.choice(texts().people),
                conversation_id=f"c-{begun:%m%d}-{number // 3:03}",
                turn=number % 3 + 1,
            ),
        )

    def _ask(self, begun: datetime, request: PastRequest) -> PastRequest:
        random = self._random
        bots = self._tenant.bots
        bot = random.choice(bots) if request.route == "chat" and bots else None
        call = self._call(
            begun + timedelta(milliseconds=random.uniform(2, 6)),
            app_id="openai" if bot is None else f"bot:{bot.bot_id}",
            bot=bot,
            stream=random.random() < 0.6,  # noqa: PLR2004  # most people watch the answer come
        )
        status = {"succeeded": 200, "cancelled": 200, "refused": 429, "failed": 503}[call.end]
        after = random.uniform(1, 5)
        ended = call.at + after * _MILLISECOND
        return replace(
            request,
            at=ended,
            request_id=self._new_id(),
            duration_ms=_round((ended - begun) / _MILLISECOND),
            first_ms=None if call.first_ms is None else _round(call.first_ms + 4),
            status=status,
            error=call.error if status >= 400 else None,  # noqa: PLR2004  # HTTP's refusals
            calls=(call,),
        )

    def _job(self, begun: datetime, number: int) -> PastRequest:
        return self._message(begun, "reasoner-in", ("reason", "summarise"), f"job-{begun:%m%d}-{number:03}")

    def _message(self, begun: datetime, queue: str, steps: tuple[str, ...], job_id: str) -> PastRequest:
        app_id = "reasoner" if queue == "reasoner-in" else "feedback"
        calls: list[PastCall] = []
        at = begun
        for step in steps:
            call = self._call(at, app_id=app_id, step=step if app_id == "reasoner" else None)
            calls.append(call)
            at = call.at + timedelta(milliseconds=self._random.uniform(8, 25))
            if call.end != "succeeded":
                break
        return PastRequest(
            at=at,
            request_id=self._new_id(),
            queue=queue,
            duration_ms=_round((at - begun) / _MILLISECOND),
            job_id=job_id,
            error=calls[-1].error,
            calls=tuple(calls),
        )

    def _read(self, begun: datetime) -> PastRequest:
        random = self._random
        took = random.uniform(3, 40)
        is_wrong = random.random() < 0.04  # noqa: PLR2004  # few
        return PastRequest(
            at=begun + took * _MILLISECOND,
            request_id=self._new_id(),
            route=random.choice(_OPEN_ROUTES),
            duration_ms=_round(took),
            status=404 if is_wrong else 200,
            error="PromptNotFoundError" if is_wrong else None,
        )

    def _call(
        self,
        begun: datetime,
        *,
        app_id: str,
        bot: PlannedBot | None = None,
        step: str | None = None,
        stream: bool = False,
    ) -> PastCall:
        random = self._random
        call = PastCall(
            at=begun,
            model=random.choices(self._tenant.models, (4, 1)[: len(self._tenant.models)])[0],
            app_id=app_id,
            bot_id=None if bot is None else bot.bot_id,
            step=step,
            prompt=None if bot is None else self._prompt_of(bot),
            stream=stream,
            wait_ms=_round(random.uniform(1.5, 9)),
            overhead_ms=_round(random.uniform(1, 4)),
        )
        end, error, attempts = self._end(begun)
        if end == "refused":
            took = call.wait_ms + call.overhead_ms
            ended = begun + took * _MILLISECOND
            return replace(call, at=ended, duration_ms=_round(took), attempts=0, end=end, error=error)
        return self._answer(begun, replace(call, end=end, error=error, attempts=attempts))

    def _answer(self, begun: datetime, call: PastCall) -> PastCall:
        """Let a call's model answer, or fail after a while."""
        random = self._random
        prompt = round(random.lognormvariate(6.2, 0.7))
        said = round(random.lognormvariate(5.0, 0.6))
        thought = round(random.lognormvariate(5.4, 0.5)) if call.model.startswith("gpt-5") else 0
        first = random.lognormvariate(5.9, 0.4) + 4 * thought
        asked = (20_000 if call.end == "failed" else 0) + first + 11 * said
        took = call.wait_ms + call.overhead_ms + asked
        return replace(
            call,
            at=begun + took * _MILLISECOND,
            prompt_tokens=prompt,
            cached_tokens=prompt // 2 if random.random() < 0.3 else 0,  # noqa: PLR2004  # of three prompts one
            completion_tokens=said + thought,
            reasoning_tokens=thought,
            first_ms=_round(call.wait_ms + first) if call.stream and call.is_paid else None,
            duration_ms=_round(took),
        )

    def _prompt_of(self, bot: PlannedBot) -> tuple[str, int] | None:
        """Return the version of a bot's prompt that was in use: the one before, two weeks ago."""
        if "prompt" not in bot.body:
            return None
        name = str(bot.body["prompt"]["name"])
        version = next(one.labels["production"] for one in self._tenant.prompts if one.name == name)
        return name, max(1, version - (self._days_ago > _LAST_VERSION_DAYS))

    def _end(self, at: datetime) -> tuple[CallEnd, str | None, int]:
        random = self._random
        is_ill = self._days_ago == _BAD_DAY and at.hour in _BAD_HOURS
        fails = 0.4 if is_ill else 0.008
        drawn = random.random()
        if drawn < fails:
            name = "DependencyTimeoutError" if random.random() < 0.3 else "DependencyUnavailableError"  # noqa: PLR2004  # of three one
            return "failed", name, 3
        if drawn < fails + 0.012:
            return "refused", "TokenRateLimitError", 0
        if drawn < fails + 0.02:
            return "cancelled", None, 1
        return "succeeded", None, 2 if random.random() < (0.3 if is_ill else 0.02) else 1

    def _new_id(self) -> str:
        return f"{self._random.getrandbits(128):032x}"


def _round(milliseconds: float) -> float:
    return round(milliseconds, 1)
