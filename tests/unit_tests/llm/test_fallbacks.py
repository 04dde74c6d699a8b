"""Fallbacks: which deployment is asked in whose place, how often, and when none is."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import httpx2
import pytest

from shared.errors import APIError, ConfigurationError, DependencyUnavailableError
from shared.llm.chat_model import ModelOutageError, ModelUnavailableError
from shared.llm.deployment_access import DeploymentAccess
from shared.llm.errors import PromptRefusedError
from shared.resilience.circuit_breaker import BreakerState
from tests.support.fakes import FakeClock
from tests.support.models import OWN, deployment, no_token, open_model
from tests.unit_tests.llm.test_openai_client import PROMPT, answer, failure

if TYPE_CHECKING:
    from shared.llm.chat_model import Completion
    from shared.llm.openai_client import OpenAIChatModel
    from tests.unit_tests.llm.test_openai_client import Step

ROUTE = tuple(deployment(name) for name in ("one", "two", "three"))


@dataclass
class Deployments:
    """Deployments that answer step by step, each its own; afterwards with `hello`."""

    steps: dict[str, list[Step]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.chat: OpenAIChatModel
        self.chat, self.dependencies = open_model(self._handle, self.clock)

    async def _handle(self, request: httpx2.Request) -> httpx2.Response:
        name = json.loads(request.content)["model"]
        self.asked.append(name)
        steps = self.steps.get(name)
        step = steps.pop(0) if steps else answer()
        if isinstance(step, Exception):
            raise step
        return step

    async def ask(self, count: int = 3) -> Completion:
        return await self.chat.complete(replace(PROMPT, model="one", route=ROUTE[:count]))


@pytest.mark.parametrize(
    "step",
    [
        failure(429),
        failure(429, {"retry-after": "30"}),
        failure(500),
        failure(503),
        failure(404, code="DeploymentNotFound"),
        failure(410, code=None),
        failure(401),
        failure(403),
        httpx2.ConnectError("refused"),
    ],
)
async def test_what_is_limited_down_or_gone_is_asked_once_and_the_next_answers(step: Step) -> None:
    models = Deployments({"one": [step]})

    completion = await models.ask()

    assert models.asked == ["one", "two"]
    assert (completion.text, completion.deployment) == ("hello", "two")
    assert models.clock.slept == []


@pytest.mark.parametrize("step", [failure(400), failure(400, code="content_filter"), failure(422)])
async def test_a_prompt_that_is_refused_is_shown_to_no_other(step: Step) -> None:
    models = Deployments({"one": [step]})
    with pytest.raises(PromptRefusedError):
        await models.ask()
    assert models.asked == ["one"]


@pytest.mark.parametrize("step", [httpx2.ReadError("cut"), failure(408), httpx2.ReadTimeout("late")])
async def test_what_may_have_been_paid_for_unseen_is_asked_of_no_other(step: Step) -> None:
    models = Deployments({"one": [step, step, step]})
    with pytest.raises(DependencyUnavailableError) as caught:
        await models.ask()
    assert set(models.asked) == {"one"}
    assert len(models.asked) == 3
    assert not isinstance(caught.value, ModelOutageError)


async def test_an_answer_that_cannot_be_used_is_asked_of_no_other() -> None:
    models = Deployments({"one": [answer("", "stop")]})
    with pytest.raises(DependencyUnavailableError):
        await models.ask()
    assert models.asked == ["one"]


@pytest.mark.parametrize(
    ("count", "asked"),
    [(1, ["one"] * 3), (2, ["one", "two", "two"]), (3, ["one", "two", "three"])],
)
async def test_there_are_three_attempts_in_all(count: int, asked: list[str]) -> None:
    models = Deployments({one.name: [failure(503)] * 5 for one in ROUTE})
    with pytest.raises(DependencyUnavailableError):
        await models.ask(count)
    assert models.asked == asked


async def test_a_longer_route_ends_with_the_attempts() -> None:
    four = (*ROUTE, deployment("four"))
    models = Deployments({one.name: [failure(429)] for one in four})
    with pytest.raises(ModelOutageError):
        await models.chat.complete(replace(PROMPT, model="one", route=four))
    assert models.asked == ["one", "two", "three"]


async def test_one_that_asked_to_be_left_alone_is_passed_over_until_then() -> None:
    models = Deployments({"one": [failure(429, {"retry-after": "30"})]})
    for _ in range(2):
        await models.ask()
    models.clock.advance(29)
    await models.ask()
    models.clock.advance(2)
    await models.ask()
    assert models.asked == ["one", "two", "two", "two", "one"]


async def test_a_long_wait_that_the_last_one_asks_for_is_told_after_the_others_were_asked() -> None:
    models = Deployments(
        {"one": [failure(503, {"retry-after": "40"})], "two": [failure(429, {"retry-after": "30"})]}
    )
    with pytest.raises(DependencyUnavailableError) as caught:
        await models.ask(2)
    assert (models.asked, models.clock.slept, caught.value.retry_after) == (["one", "two"], [], 30.0)


async def test_one_whose_breaker_is_open_takes_no_attempt_of_the_others() -> None:
    models = Deployments({"two": [failure(503)] * 3, "three": [failure(503)] * 3})
    breaker = models.dependencies.of(ROUTE[0]).breaker
    while breaker.state is not BreakerState.OPEN:
        breaker.record_failure()

    with pytest.raises(DependencyUnavailableError):
        await models.ask()

    assert models.asked == ["two", "three", "three"]


async def test_each_deployment_has_its_own_breaker() -> None:
    models = Deployments({"one": [failure(503)] * 20})
    for _ in range(6):
        assert (await models.ask(2)).deployment == "two"
    assert models.asked.count("one") == 5
    assert models.dependencies.of(ROUTE[1]).breaker.state is BreakerState.CLOSED


async def test_where_all_are_limited_the_shortest_wait_is_told_and_nothing_was_used() -> None:
    steps = {"one": ["40"], "two": ["7"], "three": ["60"]}
    models = Deployments({name: [failure(429, {"retry-after": one})] for name, (one,) in steps.items()})
    with pytest.raises(ModelOutageError) as caught:
        await models.ask()
    assert caught.value.retry_after == 7


async def test_where_the_last_is_gone_too_the_model_that_was_asked_for_is_named() -> None:
    models = Deployments({one.name: [failure(404, code="DeploymentNotFound")] for one in ROUTE})
    with pytest.raises(ModelUnavailableError, match="'one'"):
        await models.ask()


async def test_after_an_attempt_that_may_be_paid_no_error_says_that_nothing_was_used() -> None:
    models = Deployments({"one": [failure(500)], "two": [failure(404, code="DeploymentNotFound")]})
    with pytest.raises(APIError) as caught:
        await models.ask(2)
    assert not isinstance(caught.value, ModelOutageError | ModelUnavailableError)


async def test_a_deployment_without_its_key_is_passed_over() -> None:
    astray = deployment("one", base_url="https://a.openai.azure.com", key_setting="MODEL_KEY_NONE")
    models = Deployments()
    assert (await models.chat.complete(replace(PROMPT, route=(astray, ROUTE[1])))).deployment == "two"
    with pytest.raises(ConfigurationError, match="MODEL_KEY_NONE"):
        await models.chat.complete(replace(PROMPT, route=(astray,)))
    assert models.asked == ["two"]


async def test_a_stream_falls_back_before_it_begins() -> None:
    told = b'data: {"choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}]}\n\n'
    usage = (
        b'data: {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}\n\ndata: [DONE]\n\n'
    )
    models = Deployments({"one": [failure(429)], "two": [httpx2.Response(200, content=told + usage)]})

    async with models.chat.stream(replace(PROMPT, model="one", route=ROUTE)) as parts:
        *texts, completion = [part async for part in parts]

    assert texts == ["hi"]
    assert not isinstance(completion, str)
    assert (models.asked, completion.deployment) == (["one", "two"], "two")


async def test_the_environment_adds_nothing_to_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, "astray")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "astray")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-secret: astray")
    seen: list[httpx2.Request] = []

    async def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return answer()

    chat, _ = open_model(handle, FakeClock(), DeploymentAccess(OWN, no_token))
    other = deployment(provider="openai-compatible", base_url="https://models.example.com/v1")
    await chat.complete(replace(PROMPT, route=(other,)))

    assert str(seen[0].url) == "https://models.example.com/v1/chat/completions"
    assert "astray" not in str(seen[0].headers.multi_items())
    assert not {"authorization", "api-key"} & set(seen[0].headers)


async def test_a_redirect_is_not_followed() -> None:
    models = Deployments({"one": [httpx2.Response(307, headers={"location": "https://evil.example/"})]})
    with pytest.raises(APIError):
        await models.ask(1)
    assert models.asked == ["one"]
