"""The model client over connections in memory."""

from __future__ import annotations

import json
import traceback
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import httpx2
import pytest
from azure.core.exceptions import ClientAuthenticationError

from shared.contracts import ChatMessage, Usage
from shared.errors import APIError, ConfigurationError, DependencyUnavailableError
from shared.llm.chat_model import (
    ChatPrompt,
    DeclinedAnswerError,
    FilteredAnswerError,
    FilteredPromptError,
    ModelOutageError,
    ModelUnavailableError,
    OutputLimitReachedError,
    PromptRejectedError,
    UnusableAnswerError,
)
from shared.llm.deployment_access import DeploymentAccess, OwnResource
from shared.llm.errors import PromptRefusedError
from shared.llm.model_call import CallOrigin
from shared.llm.openai_client import POLICY
from shared.llm.route_asker import LONGEST_RETRY_AFTER
from shared.resilience.circuit_breaker import BreakerState
from tests.support.fakes import FakeClock
from tests.support.models import OWN, deployment, no_token, open_model

if TYPE_CHECKING:
    from shared.llm.deployment_access import TokenProvider
    from shared.llm.openai_client import OpenAIChatModel

PROMPT = ChatPrompt(
    (ChatMessage(role="user", content="hi"),),
    "gpt-4o",
    100,
    temperature=0.2,
    user="u1",
    route=(deployment(),),
    safety_identifier="somebody",
    cache_key="support-7",
)
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def answer(content: str | None = "hello", finish: str | None = "stop", **changes: object) -> httpx2.Response:
    choice = {"message": {"role": "assistant", "content": content}, "finish_reason": finish}
    return httpx2.Response(200, json={"model": "gpt-4o-x", "choices": [choice], "usage": USAGE} | changes)


def failure(status: int, headers: dict[str, str] | None = None, code: str | None = "some") -> httpx2.Response:
    return httpx2.Response(status, headers=headers, json={"error": {"code": code, "message": "no"}})


type Step = httpx2.Response | Exception


@dataclass
class Endpoint:
    """Answers request by request."""

    steps: list[Step]
    requests: list[httpx2.Request] = field(default_factory=list)

    async def handle(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step


def model(*steps: Step, token: TokenProvider | None = None) -> tuple[OpenAIChatModel, Endpoint, FakeClock]:
    endpoint, clock = Endpoint(list(steps)), FakeClock()
    own = OWN if token is None else OwnResource("https://ours.openai.azure.com")
    chat, _ = open_model(endpoint.handle, clock, DeploymentAccess(own, token or no_token))
    return chat, endpoint, clock


async def test_a_prompt_goes_to_its_deployment_and_the_answer_comes_back() -> None:
    chat, endpoint, _ = model(answer())
    completion = await chat.complete(PROMPT)
    assert (completion.text, completion.model, completion.finish_reason) == ("hello", "gpt-4o-x", "stop")
    assert completion.deployment == "gpt-4o"
    assert completion.usage == Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10)
    (request,) = endpoint.requests
    url = "http://model.test/openai/v1/chat/completions"
    assert (request.method, str(request.url), request.headers["api-key"]) == ("POST", url, "key")
    assert json.loads(request.content) == {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 100,
        "temperature": 0.2,
        "safety_identifier": "somebody",
        "prompt_cache_key": "support-7",
    }


async def test_without_a_key_each_request_carries_a_bearer_token() -> None:
    async def token(scope: str) -> str:
        assert scope == "https://ai.azure.com/.default"
        return "a-token"

    chat, endpoint, _ = model(answer(), token=token)
    await chat.complete(PROMPT)
    assert endpoint.requests[0].headers["authorization"] == "Bearer a-token"
    assert "api-key" not in endpoint.requests[0].headers


async def test_a_failing_credential_used_nothing() -> None:
    async def fail(scope: str) -> str:  # the protocol's
        raise ClientAuthenticationError("no identity here")

    chat, endpoint, _ = model(token=fail)
    with pytest.raises(ModelOutageError, match="credential"):
        await chat.complete(PROMPT)
    assert endpoint.requests == []


@pytest.mark.parametrize(
    ("headers", "least"),
    [
        ({"retry-after-ms": "2500", "retry-after": "3"}, 2.5),
        ({"retry-after": "4"}, 4.0),
        (
            {"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT", "date": "Fri, 31 Dec 1999 23:59:39 GMT"},
            20.0,
        ),
        ({"x-ratelimit-reset-tokens": "55"}, 55.0),
        ({"x-ratelimit-reset-tokens": "1m6.5s", "x-ratelimit-reset-requests": "120ms"}, 66.5),
        ({"x-ratelimit-reset-tokens": "odd", "x-ratelimit-reset-requests": "1.5s"}, 1.5),
        ({"retry-after": "odd", "x-ratelimit-reset-tokens": "7s"}, 7.0),
    ],
)
async def test_a_short_rate_limit_is_waited_out_and_a_long_one_told(
    headers: dict[str, str], least: float
) -> None:
    chat, endpoint, clock = model(failure(429, headers), answer())
    call = chat.complete(replace(PROMPT, origin=CallOrigin(job_id="j1")))
    if least > LONGEST_RETRY_AFTER:
        with pytest.raises(ModelOutageError) as told:
            await call
        assert told.value.retry_after == pytest.approx(least)
        assert told.value.asks_for_pause
        assert (len(endpoint.requests), clock.slept) == (1, [])
        return
    await call
    assert len(endpoint.requests) == 2
    assert least <= clock.slept[0] <= least + POLICY.backoff_seconds


@pytest.mark.parametrize("status", [429, 503])
async def test_a_call_that_somebody_waits_for_waits_out_a_short_retry_after(status: int) -> None:
    chat, endpoint, clock = model(failure(status, {"retry-after": "5"}), answer())
    await chat.complete(PROMPT)
    assert len(endpoint.requests) == 2
    assert clock.slept[0] >= LONGEST_RETRY_AFTER


@pytest.mark.parametrize(("status", "error"), [(429, ModelOutageError), (503, DependencyUnavailableError)])
async def test_a_call_that_somebody_waits_for_is_told_at_once_of_a_long_retry_after(
    status: int, error: type[DependencyUnavailableError]
) -> None:
    steps = [failure(status, {"retry-after": "20"})] * 2
    chat, endpoint, clock = model(*steps)

    with pytest.raises(error) as whole:
        await chat.complete(PROMPT)
    with pytest.raises(error) as streamed:
        async with chat.stream(PROMPT):
            pass

    assert (len(endpoint.requests), clock.slept) == (2, [])
    assert [(one.value.status, one.value.retry_after) for one in (whole, streamed)] == [(503, 20.0)] * 2


@pytest.mark.parametrize("told", ["inf", "1e999", "nan", "-1", "Fri, 31 Dec 1999 23:59:59 GMT"])
async def test_a_rate_limit_that_asks_for_no_time_is_tried_again_as_any(told: str) -> None:
    chat, _, clock = model(failure(429, {"retry-after": told}), answer())
    await chat.complete(PROMPT)
    assert clock.slept[0] <= POLICY.backoff_seconds


@pytest.mark.parametrize(
    "step", [failure(408), failure(409), failure(500), failure(503), httpx2.ReadError("cut")]
)
async def test_a_transient_failure_is_tried_again(step: Step) -> None:
    chat, endpoint, _ = model(step, answer())
    assert (await chat.complete(PROMPT)).text == "hello"
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ([failure(429)] * 3, ModelOutageError),
        ([httpx2.ConnectError("refused")] * 3, ModelOutageError),
        ([httpx2.ConnectError("refused"), failure(500), failure(429)], DependencyUnavailableError),
        ([failure(503)] * 3, DependencyUnavailableError),
        ([httpx2.ReadTimeout("late")] * 3, DependencyUnavailableError),
    ],
)
async def test_whether_tokens_may_have_been_used_is_told(steps: list[Step], error: type[Exception]) -> None:
    chat, endpoint, _ = model(*steps)
    with pytest.raises(DependencyUnavailableError) as caught:
        await chat.complete(PROMPT)
    assert type(caught.value) is error
    assert len(endpoint.requests) == 3


async def test_an_open_breaker_used_nothing() -> None:
    endpoint = Endpoint([])
    chat, dependencies = open_model(endpoint.handle, FakeClock())
    breaker = dependencies.of(deployment()).breaker
    while breaker.state is not BreakerState.OPEN:
        breaker.record_failure()
    with pytest.raises(ModelOutageError):
        await chat.complete(PROMPT)
    assert endpoint.requests == []


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, PromptRefusedError),
        (404, PromptRefusedError),
        (401, ConfigurationError),
        (403, ConfigurationError),
        (418, ModelOutageError),
    ],
)
async def test_a_refusal_is_not_tried_again(status: int, error: type[APIError]) -> None:
    chat, endpoint, _ = model(failure(status, code="context_length_exceeded"))
    with pytest.raises(error):
        await chat.complete(PROMPT)
    assert len(endpoint.requests) == 1


async def test_a_refused_prompt_names_the_models_reason() -> None:
    chat, _, _ = model(failure(400, code="content_filter"))
    with pytest.raises(PromptRefusedError) as caught:
        await chat.complete(PROMPT)
    assert (caught.value.status, caught.value.detail) == (422, {"code": "content_filter"})


@pytest.mark.parametrize(
    "broken",
    [
        httpx2.Response(
            200, content=b'{"model": "gpt-4o", "choi', headers={"content-type": "application/json"}
        ),
        httpx2.Response(200, content=b"<html>busy</html>", headers={"content-type": "text/html"}),
        httpx2.Response(200, json=[]),
        answer(usage=None),
        answer(usage={}),
        answer(usage={"prompt_tokens": None}),
        answer(usage={"prompt_tokens": -1}),
        answer(usage={"prompt_tokens": 2**70}),
        answer(usage={"completion_tokens": 1_000_000_001}),
        answer(usage={"total_tokens": 2**64}),
    ],
)
async def test_a_truncated_or_malformed_answer_is_no_answer(broken: httpx2.Response) -> None:
    chat, endpoint, _ = model(broken)
    with pytest.raises(UnusableAnswerError) as caught:
        await chat.complete(PROMPT)
    assert caught.value.usage is None
    assert len(endpoint.requests) == 1


async def test_half_a_character_in_an_answer_costs_no_more_than_itself() -> None:
    content = (
        r'{"model": "m", "choices": [{"message": {"content": "so \ud83d"}, "finish_reason": "stop"}],'
        r' "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}'
    )
    headers = {"content-type": "application/json"}
    chat, _, _ = model(httpx2.Response(200, content=content.encode(), headers=headers))

    completion = await chat.complete(PROMPT)

    assert completion.text == "so \N{REPLACEMENT CHARACTER}"
    assert completion.text.encode()


async def test_a_malformed_answer_leaves_nothing_of_itself_in_the_error() -> None:
    chat, _, _ = model(answer(choices=[{"message": {"role": "assistant", "content": {"note": "my rash"}}}]))
    with pytest.raises(UnusableAnswerError) as caught:
        await chat.complete(PROMPT)
    assert "rash" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "choices",
    [
        None,
        [],
        {},
        "none",
        [None],
        [{}],
        [{"message": None, "finish_reason": None}],
        [{"message": {"content": None, "tool_calls": [{"id": "1"}]}, "finish_reason": "tool_calls"}],
        [{"message": {"content": [{"type": "image", "text": None}]}, "finish_reason": 3}],
        [{"message": {"content": 7}, "finish_reason": "x" * 10_000}],
    ],
)
async def test_the_use_of_an_answer_without_a_text_is_known(choices: object) -> None:
    chat, _, _ = model(answer(choices=choices, model=None))
    with pytest.raises(UnusableAnswerError) as caught:
        await chat.complete(PROMPT)
    assert caught.value.usage == Usage.model_validate(USAGE)
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"message": {"content": "hello"}}, None),
        ({"message": {"content": "hello"}, "finish_reason": None}, None),
        ({"message": {"content": "hello"}, "finish_reason": 1}, None),
        ({"message": {"content": "hello"}, "finish_reason": "eos"}, "eos"),
        ({"message": {"content": "hello", "tool_calls": []}, "finish_reason": "tool_calls"}, "tool_calls"),
        (
            {"message": {"content": [{"type": "text", "text": "hel"}, {"text": "lo"}, {"type": "image"}]}},
            None,
        ),
    ],
)
async def test_a_whole_text_is_served_however_it_finished(
    choice: dict[str, object], reason: str | None
) -> None:
    chat, _, _ = model(answer(choices=[choice]))
    completion = await chat.complete(PROMPT)
    assert (completion.text, completion.finish_reason) == ("hello", reason)
    assert completion.usage == Usage.model_validate(USAGE)


@pytest.mark.parametrize("named", [None, "", 5, ["gpt"], "x" * 200, "a\nb"])
async def test_an_answer_that_names_no_model_is_the_one_that_was_asked(named: object) -> None:
    chat, _, _ = model(answer(model=named))
    assert (await chat.complete(PROMPT)).model == "gpt-4o"


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"prompt_tokens": 7, "completion_tokens": 3}, (7, 3, 10)),
        ({"prompt_tokens": 7, "completion_tokens": None, "total_tokens": 10}, (7, 3, 10)),
        ({"completion_tokens": 3, "total_tokens": 10}, (7, 3, 10)),
        ({"total_tokens": 10}, (10, 0, 10)),
        ({"prompt_tokens": 7.0, "completion_tokens": 3, "total_tokens": 10, "cost": "much"}, (7, 3, 10)),
        ({"prompt_tokens": 7, "completion_tokens": "3", "total_tokens": 10}, (7, 3, 10)),
    ],
)
async def test_a_use_that_is_told_in_part_is_read(usage: object, read: tuple[int, int, int]) -> None:
    chat, _, _ = model(answer(usage=usage))
    used = (await chat.complete(PROMPT)).usage
    assert (used.prompt_tokens, used.completion_tokens, used.total_tokens) == read


@pytest.mark.parametrize(
    ("details", "read"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 5}}, (5, 0)),
        ({"completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0}}, (0, 2)),
        (
            {
                "prompt_tokens_details": {"cached_tokens": 7.0},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            (7, 3),
        ),
        (
            {
                "prompt_tokens_details": {"cached_tokens": 8},
                "completion_tokens_details": {"reasoning_tokens": 2**70},
            },
            (7, 3),
        ),
        (
            {
                "prompt_tokens_details": {"cached_tokens": -1},
                "completion_tokens_details": {"reasoning_tokens": -(2**70)},
            },
            (0, 0),
        ),
        (
            {
                "prompt_tokens_details": {"cached_tokens": "5"},
                "completion_tokens_details": {"reasoning_tokens": True},
            },
            (0, 0),
        ),
        ({"prompt_tokens_details": None, "completion_tokens_details": [3]}, (0, 0)),
        ({"prompt_tokens_details": {}, "completion_tokens_details": {"reasoning_tokens": 1.5}}, (0, 0)),
    ],
)
async def test_kinds_of_tokens_are_read_and_never_more_than_their_whole(
    details: dict[str, object], read: tuple[int, int]
) -> None:
    chat, _, _ = model(answer(usage=USAGE | details))
    used = (await chat.complete(PROMPT)).usage
    assert (used.cached_tokens, used.reasoning_tokens) == read
    assert (used.prompt_tokens, used.completion_tokens, used.total_tokens) == (7, 3, 10)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "unsupported_parameter", PromptRejectedError),
        (400, None, PromptRejectedError),
        (413, "too_large", PromptRejectedError),
        (422, "odd", PromptRejectedError),
        (400, "content_filter", FilteredPromptError),
        (400, "context_length_exceeded", PromptRefusedError),
    ],
)
async def test_a_refusal_tells_whether_the_model_may_have_worked(
    status: int, code: str | None, kind: type[Exception]
) -> None:
    chat, _, _ = model(failure(status, code=code))
    with pytest.raises(PromptRefusedError) as caught:
        await chat.complete(PROMPT)
    assert type(caught.value) is kind


@pytest.mark.parametrize("status", [400, 401, 404, 418])
async def test_a_refusal_after_an_attempt_that_may_have_worked_does_not_say_that_nothing_was_used(
    status: int,
) -> None:
    chat, _, _ = model(failure(500), failure(status))
    with pytest.raises(APIError) as caught:
        await chat.complete(PROMPT)
    assert not isinstance(caught.value, ModelOutageError | PromptRejectedError | ConfigurationError)


@pytest.mark.parametrize(
    ("status", "code"), [(404, "DeploymentNotFound"), (404, "model_not_found"), (404, None), (410, None)]
)
async def test_a_deployment_that_is_gone_is_told_by_the_catalogues_name(
    status: int, code: str | None
) -> None:
    chat, endpoint, _ = model(failure(status, code=code))
    with pytest.raises(ModelUnavailableError, match=r"^Model 'ours' is not available any more$") as caught:
        await chat.complete(replace(PROMPT, model="ours"))
    assert (caught.value.status, caught.value.detail) == (409, {"model": "ours"})
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize("content", ["", None])
async def test_an_empty_text_is_no_answer_but_its_use_is_known(content: str | None) -> None:
    chat, _, _ = model(answer(content, "stop"))
    with pytest.raises(UnusableAnswerError) as caught:
        await chat.complete(PROMPT)
    assert caught.value.usage == Usage.model_validate(USAGE)


async def test_an_output_limit_that_was_used_before_any_text_is_no_outage() -> None:
    chat, _, _ = model(answer("", "length"))
    with pytest.raises(OutputLimitReachedError) as caught:
        await chat.complete(PROMPT)
    assert (caught.value.status, caught.value.usage) == (422, Usage.model_validate(USAGE))


async def test_a_filtered_answer_is_a_422_whose_use_is_known() -> None:
    chat, _, _ = model(answer("half of", "content_filter"))
    with pytest.raises(FilteredAnswerError) as caught:
        await chat.complete(PROMPT)
    assert caught.value.status == 422
    assert caught.value.usage is not None


async def test_a_model_that_declines_is_a_422_whose_use_is_known() -> None:
    message = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
    chat, _, _ = model(answer(choices=[{"message": message, "finish_reason": "stop"}]))
    with pytest.raises(DeclinedAnswerError) as caught:
        await chat.complete(PROMPT)
    assert (caught.value.status, caught.value.usage) == (422, Usage.model_validate(USAGE))


async def test_the_probe_asks_for_the_models() -> None:
    chat, endpoint, _ = model(httpx2.Response(200, json={"data": []}))
    await chat.check()
    assert str(endpoint.requests[0].url) == "http://model.test/openai/v1/models"
