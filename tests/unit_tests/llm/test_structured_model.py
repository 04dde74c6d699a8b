"""An answer has the form that was asked for, at the second try at the latest, or is an error."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from shared.contracts import ChatMessage, Usage
from shared.errors import BudgetExceededError
from shared.llm.answer_format import AnswerFormat
from shared.llm.chat_model import (
    ChatPrompt,
    Completion,
    DeclinedAnswerError,
    InvalidAnswerError,
    PromptTooLongError,
    TruncatedAnswerError,
)
from shared.llm.model_call import CallOrigin
from shared.llm.request_body import build_chat_body
from shared.llm.structured_model import StructuredModel
from shared.llm.token_counting import TokenCounter
from tests.support.models import deployment
from tests.support.whole_app import speak

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.llm.chat_model import AnswerStream

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
FORMAT = AnswerFormat.model_validate({"type": "json_schema", "schema": SCHEMA})
USAGE = Usage(prompt_tokens=7, cached_tokens=2, completion_tokens=3, reasoning_tokens=1, total_tokens=10)
TWICE = USAGE + USAGE
MESSAGES = (ChatMessage(role="system", content="Be brief."), ChatMessage(role="user", content="Where?"))
PROMPT = ChatPrompt(MESSAGES, "gpt-4o", 100, answer_format=FORMAT)
GOOD, BAD = '{"city": "Oslo"}', '{"town": "Oslo"}'


@dataclass
class Scripted:
    """Gives the answers, or failures, that it was told, one after the other."""

    answers: list[str | Exception]
    finish_reason: str = "stop"
    prompts: list[ChatPrompt] = field(default_factory=list)
    closed: int = 0

    async def complete(self, prompt: ChatPrompt) -> Completion:
        self.prompts.append(prompt)
        answer = self.answers[len(self.prompts) - 1]
        if isinstance(answer, Exception):
            raise answer
        return Completion(answer, USAGE, "gpt-4o-2024", self.finish_reason, "gpt-4o")

    @asynccontextmanager
    async def stream(self, prompt: ChatPrompt) -> AsyncIterator[AnswerStream]:
        try:
            yield speak(await self.complete(prompt))
        finally:
            self.closed += 1


async def ask(model: Scripted, prompt: ChatPrompt = PROMPT) -> Completion:
    return await StructuredModel(model).complete(prompt)


async def test_an_answer_that_fits_is_given_as_it_is() -> None:
    model = Scripted([GOOD])
    assert await ask(model) == Completion(GOOD, USAGE, "gpt-4o-2024", "stop", "gpt-4o")
    assert model.prompts == [PROMPT]


async def test_without_a_form_any_text_is_an_answer() -> None:
    assert (await ask(Scripted(["Oslo"]), replace(PROMPT, answer_format=None))).text == "Oslo"


async def test_an_answer_that_does_not_fit_is_asked_for_again_with_what_is_wrong() -> None:
    model = Scripted([BAD, GOOD])
    completion = await ask(model)

    assert (completion.text, completion.usage) == (GOOD, TWICE)
    first, second = model.prompts
    assert first is PROMPT
    assert second.messages[:3] == (*MESSAGES, ChatMessage(role="assistant", content=BAD))
    complaint = second.messages[3]
    assert complaint.role == "user"
    assert "/city: is required" in complaint.content
    assert "- the whole: has a property that is not allowed; there are: city" in complaint.content
    assert replace(second, messages=MESSAGES, origin=CallOrigin()) == PROMPT
    assert second.origin.step == "repair"


async def test_a_second_call_of_a_jobs_step_is_of_that_step() -> None:
    model = Scripted([BAD, GOOD])
    await ask(model, replace(PROMPT, origin=CallOrigin(job_id="j", step="reason")))
    assert model.prompts[1].origin == CallOrigin(job_id="j", step="reason")


async def test_a_second_answer_that_does_not_fit_is_an_error_that_tells_the_usage_of_both() -> None:
    with pytest.raises(InvalidAnswerError) as caught:
        await ask(Scripted([BAD, "Oslo"]))
    assert caught.value.usage == TWICE
    assert caught.value.detail == {
        "code": "invalid_answer",
        "problems": {"": "is not JSON"},
        "attempts": 2,
        "usage": TWICE.model_dump(),
    }
    assert "Oslo" not in caught.value.message


async def test_an_answer_that_the_limit_cut_is_not_asked_for_again_and_the_error_says_so() -> None:
    model = Scripted(['{"city": "Os'], finish_reason="length")
    with pytest.raises(InvalidAnswerError) as caught:
        await ask(model)
    assert (len(model.prompts), caught.value.usage) == (1, USAGE)
    assert caught.value.detail["problems"] == {"": "was cut off by its limit of tokens"}


async def test_a_second_question_that_is_too_long_leaves_the_first_answer_refused() -> None:
    with pytest.raises(InvalidAnswerError) as caught:
        await ask(Scripted([BAD, PromptTooLongError("too long")]))
    assert caught.value.usage == USAGE
    assert caught.value.detail["attempts"] == 1


async def test_a_model_that_declines_the_second_time_tells_the_usage_of_both() -> None:
    with pytest.raises(DeclinedAnswerError) as caught:
        await ask(Scripted([BAD, DeclinedAnswerError(USAGE)]))
    assert caught.value.usage == TWICE
    with pytest.raises(DeclinedAnswerError) as caught:
        await ask(Scripted([BAD, DeclinedAnswerError(None)]))
    assert caught.value.usage == USAGE


@pytest.mark.parametrize("failure", [DeclinedAnswerError(USAGE), BudgetExceededError("no", retry_after=1.0)])
async def test_a_failure_of_the_first_call_is_the_callers(failure: Exception) -> None:
    model = Scripted([failure, GOOD])
    with pytest.raises(type(failure)) as caught:
        await ask(model)
    assert caught.value is failure
    assert len(model.prompts) == 1


async def test_a_budget_that_does_not_admit_the_second_call_says_when_it_does() -> None:
    with pytest.raises(BudgetExceededError) as caught:
        await ask(Scripted([BAD, BudgetExceededError("no", retry_after=7.0)]))
    assert caught.value.retry_after == 7.0


async def read(model: Scripted, prompt: ChatPrompt = PROMPT) -> tuple[list[object], Exception | None]:
    parts: list[object] = []
    try:
        async with StructuredModel(model).stream(prompt) as answer:
            async for part in answer:
                parts.append(part)  # noqa: PERF401  # what came before a failure is wanted, too
    except InvalidAnswerError as error:
        return parts, error
    return parts, None


async def test_a_streams_parts_are_given_as_they_come_and_checked_at_their_end() -> None:
    parts, failure = await read(Scripted([GOOD]))
    assert (parts[:-1], failure) == (['{"city": ', '"Oslo"}'], None)
    assert isinstance(parts[-1], Completion)

    model = Scripted([BAD, GOOD])
    parts, failure = await read(model)
    assert parts == ['{"town": ', '"Oslo"}']
    assert isinstance(failure, InvalidAnswerError)
    assert (failure.usage, len(model.prompts), model.closed) == (USAGE, 1, 1)


async def test_a_stream_without_a_form_is_given_as_it_is() -> None:
    parts, failure = await read(Scripted(["Oslo it is"]), replace(PROMPT, answer_format=None))
    assert (parts[:-1], failure) == (["Oslo ", "it ", "is"], None)


async def test_a_stream_that_breaks_off_stays_the_error_that_it_is() -> None:
    with pytest.raises(TruncatedAnswerError):
        await read(Scripted([TruncatedAnswerError("broke off", None)]))


async def test_a_stream_that_is_left_ends_the_models_work() -> None:
    model = Scripted([GOOD])
    async with StructuredModel(model).stream(PROMPT) as answer:
        assert await anext(answer)
    assert model.closed == 1


def test_a_deployment_that_takes_schemas_gets_it_and_is_held_to_it_where_it_can_be() -> None:
    body = build_chat_body(PROMPT, deployment())
    wrapped = {"name": "answer", "schema": SCHEMA, "strict": True}
    assert body["response_format"] == {"type": "json_schema", "json_schema": wrapped}
    assert body["messages"] == [message.model_dump() for message in MESSAGES]

    open_schema = AnswerFormat.model_validate({"type": "json_schema", "schema": {"type": "object"}})
    body = build_chat_body(replace(PROMPT, answer_format=open_schema), deployment())
    assert json.dumps(body["response_format"]).endswith('"strict": false}}')


@pytest.mark.parametrize(
    ("can", "asked"),
    [
        ("json_object", {"type": "json_object"}),
        ("text", None),
    ],
)
def test_one_that_does_not_is_told_the_schema_with_the_last_message_and_no_instructions(
    can: str, asked: dict[str, str] | None
) -> None:
    body = build_chat_body(PROMPT, deployment(answer_format=can))
    assert body.get("response_format") == asked
    asked_last = {"role": "user", "content": f"Where?\n\n{FORMAT.instruction}"}
    assert body["messages"] == [MESSAGES[0].model_dump(), asked_last]
    assert FORMAT.schema_text in FORMAT.instruction


def test_it_is_told_in_a_message_of_its_own_where_the_last_is_not_the_users() -> None:
    begun = ChatMessage(role="assistant", content="In")
    body = build_chat_body(replace(PROMPT, messages=(*MESSAGES, begun)), deployment(answer_format="text"))
    asked_last = {"role": "user", "content": FORMAT.instruction}
    assert body["messages"] == [*(message.model_dump() for message in (*MESSAGES, begun)), asked_last]


def test_who_is_asked_for_an_object_is_told_so_since_providers_demand_the_word() -> None:
    json_object = AnswerFormat.model_validate({"type": "json_object"})
    body = build_chat_body(replace(PROMPT, answer_format=json_object), deployment())
    assert body["response_format"] == {"type": "json_object"}
    assert "JSON object" in str(body["messages"])


@pytest.mark.parametrize("answer_format", [None, AnswerFormat.model_validate({"type": "text"})])
def test_who_is_asked_for_text_is_asked_for_nothing_else(answer_format: AnswerFormat | None) -> None:
    assert "response_format" not in build_chat_body(
        replace(PROMPT, answer_format=answer_format), deployment()
    )


async def test_a_schema_counts_as_a_part_of_the_prompt() -> None:
    counter = TokenCounter()
    plain = await counter.count_prompt(replace(PROMPT, answer_format=None))
    schema = await counter.count_text(FORMAT.schema_text, "gpt-4o")
    assert schema > 10
    assert await counter.count_prompt(PROMPT) == plain + schema
