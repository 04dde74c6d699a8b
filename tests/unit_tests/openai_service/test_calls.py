"""Calls of the service: estimated, locked, made and reported, each for the tenant of its request."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from compat.azure_openai_service import AzureOpenAIService
from shared.contracts import Usage
from shared.errors import APIError, BudgetExceededError, DependencyUnavailableError, ValidationError
from shared.llm.chat_model import (
    Completion,
    FilteredAnswerError,
    ModelOutageError,
    ModelUnavailableError,
    OutputLimitReachedError,
    PromptRejectedError,
    UnusableAnswerError,
)
from shared.llm.errors import PromptRefusedError
from shared.resilience.deadlines import deadline
from shared.tenancy.context import Role, acting_for
from shared.tenancy.errors import TenantNotFoundError
from tests.support.fakes import Call, tenant_context, user_context
from tests.support.log_lines import kept_lines
from tests.support.models import open_model
from tests.support.virtual_time import LoopClock, simulate
from tests.support.whole_app import EchoModel, whole_app
from tests.unit_tests.llm.test_openai_client import Endpoint, answer, failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx2

    from shared.llm.chat_model import ChatPrompt
    from tenantry_client.token_models import TokenStatus
    from tests.support.whole_app import WholeApp
    from tests.unit_tests.llm.test_openai_client import Step

HELLO = [{"role": "user", "content": "hello"}]
USED = Usage(prompt_tokens=40, cached_tokens=30, completion_tokens=20, reasoning_tokens=15, total_tokens=60)


@dataclass
class ScriptedModel(EchoModel):
    """Answers, fails or hangs as a test has it, and looks at the budget while it is asked."""

    outcome: Exception | None = None
    hangs: bool = False
    look: Callable[[], Awaitable[TokenStatus]] | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[TokenStatus] = field(default_factory=list)

    async def complete(self, prompt: ChatPrompt) -> Completion:
        self.prompts.append(prompt)
        if self.look is not None:
            self.seen.append(await self.look())
        self.asked.set()
        if self.hangs:
            await asyncio.Event().wait()
        if self.outcome is not None:
            raise self.outcome
        return Completion("hello", USED, prompt.model, "stop")


def service(app: WholeApp, model: object = None) -> AzureOpenAIService:
    """Open the service over what answers in the model's place."""
    if model is not None:
        app.runtime.__dict__["chat_model"] = model
    return AzureOpenAIService(app_id="my_app", runtime=app.runtime)


async def status(app: WholeApp, tenant: str = "acme") -> TokenStatus:
    return await app.runtime.token_client("my_app", tenant_context(tenant, tier="premium")).get_status()


def named_in(error: APIError) -> list[str]:
    """Return the names of the fields at fault."""
    fields = error.detail["fields"]
    assert isinstance(fields, dict)
    return list(fields)


def over_the_wire(app: WholeApp, *steps: Step) -> tuple[AzureOpenAIService, Endpoint]:
    endpoint = Endpoint(list(steps))
    chat, _ = open_model(endpoint.handle, app.clock)
    return service(app, chat), endpoint


@pytest.mark.usefixtures("as_acme")
async def test_a_completion_has_the_shape_of_openais_client(app: WholeApp) -> None:
    completion = await service(app, ScriptedModel()).chat_completion(HELLO)

    assert completion.choices[0].message.content == "hello"
    assert (completion.choices[0].finish_reason, completion.object) == ("stop", "chat.completion")
    assert completion.choices[0].index == 0
    assert completion.id.startswith("chatcmpl-")
    assert completion.id != (await service(app).chat_completion(HELLO)).id
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.total_tokens) == (40, 60)
    assert completion.usage.prompt_tokens_details is not None
    assert completion.usage.completion_tokens_details is not None
    assert completion.usage.prompt_tokens_details.cached_tokens == 30
    assert completion.usage.completion_tokens_details.reasoning_tokens == 15
    assert completion.model_dump(mode="json")["created"] == int(app.clock.now().timestamp())


@pytest.mark.usefixtures("as_acme")
@pytest.mark.parametrize("max_tokens", [None, 100])
async def test_while_a_call_is_made_its_estimate_is_locked_and_then_what_it_used_counts(
    app: WholeApp, max_tokens: int | None
) -> None:
    model = ScriptedModel(look=lambda: status(app))
    calling = service(app, model)

    estimate = await calling.estimate_tokens(HELLO, max_tokens=max_tokens)
    await calling.chat_completion(HELLO, max_tokens=max_tokens)

    prompt_tokens = 8
    assert estimate == prompt_tokens + (
        max_tokens or 4_096
    )  # the catalogue's default, not the model's maximum
    assert (model.seen[0].locked_tokens, model.seen[0].used_tokens) == (estimate, 0)
    after = await status(app)
    assert (after.locked_tokens, after.used_tokens) == (0, 60)


@pytest.mark.usefixtures("as_acme")
async def test_an_estimate_is_by_the_tokenizer_and_the_limit_of_the_models_entry(app: WholeApp) -> None:
    for name, tokenizer in (("new", "o200k_base"), ("old", "cl100k_base")):
        entry = {"tokenizer": tokenizer, "default_output_tokens": 50, "max_output_tokens": 60}
        await app.must("put_model", Call.of(entry, headers=app.admin, name=name))
    polish = [{"role": "user", "content": "Zażółć gęślą jaźń"}]
    calling = service(app)

    new, old = [await calling.estimate_tokens(polish, name) for name in ("new", "old")]
    assert 50 < new < old
    assert await calling.estimate_tokens(polish, "new", 1_000) == new + 10
    model: EchoModel = app.runtime.__dict__["chat_model"]
    await calling.send_prompt("", "hi", model="old", max_tokens=7)
    assert (model.prompts[0].model, model.prompts[0].output_limit) == ("old", 7)


@pytest.mark.usefixtures("as_acme")
@pytest.mark.parametrize(
    ("outcome", "used"),
    [
        (ModelOutageError("The model"), 0),
        (PromptRejectedError("no"), 0),
        (ModelUnavailableError("gpt-4o"), 0),
        (UnusableAnswerError("gave no text", USED), 60),
    ],
)
async def test_a_call_that_fails_gives_its_lock_back_or_pays_what_its_answer_tells(
    app: WholeApp, outcome: APIError, used: int
) -> None:
    with pytest.raises(type(outcome)):
        await service(app, ScriptedModel(outcome=outcome)).chat_completion(HELLO)
    after = await status(app)
    assert (after.locked_tokens, after.used_tokens) == (0, used)


@pytest.mark.usefixtures("as_acme")
@pytest.mark.parametrize("uncertain", [DependencyUnavailableError("The model"), PromptRefusedError("paid")])
async def test_a_call_that_may_have_to_be_paid_keeps_its_lock(app: WholeApp, uncertain: APIError) -> None:
    calling = service(app, ScriptedModel(outcome=uncertain))
    with pytest.raises(type(uncertain)):
        await calling.chat_completion(HELLO)
    assert (await status(app)).locked_tokens == await calling.estimate_tokens(HELLO)


@pytest.mark.usefixtures("as_acme")
async def test_a_cancelled_call_keeps_its_lock_since_the_model_may_have_worked(app: WholeApp) -> None:
    model = ScriptedModel(hangs=True)
    calling = service(app, model)
    call = asyncio.ensure_future(calling.chat_completion(HELLO))
    await model.asked.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await status(app)).locked_tokens == await calling.estimate_tokens(HELLO)


@pytest.mark.usefixtures("as_acme")
async def test_what_the_models_provider_gets(app: WholeApp) -> None:
    calling, endpoint = over_the_wire(app, answer(), answer())
    await calling.chat_completion(
        HELLO,
        "gpt-4o",
        temperature=0.5,
        max_tokens=9,
        top_p=0.9,
        frequency_penalty=-1,
        presence_penalty=1,
        stop="END",
    )
    with acting_for(user_context("ann@example.com")):
        await calling.chat_completion(HELLO, "o3", temperature=0.5, top_p=0.9)

    plain, reasoning = (json.loads(request.content) for request in endpoint.requests)
    assert len(plain.pop("prompt_cache_key")) == 40
    assert plain == {
        "model": "gpt-4o",
        "messages": HELLO,
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "frequency_penalty": -1,
        "presence_penalty": 1,
        "stop": ["END"],
    }
    assert set(reasoning) == {
        "model",
        "messages",
        "max_completion_tokens",
        "prompt_cache_key",
        "safety_identifier",
    }
    assert "ann" not in str(reasoning)


@pytest.mark.usefixtures("as_acme")
async def test_a_model_that_reasons_takes_no_stop_and_nothing_is_locked_for_it(app: WholeApp) -> None:
    calling, endpoint = over_the_wire(app)
    with pytest.raises(PromptRejectedError) as caught:
        await calling.chat_completion(HELLO, "o3", stop=["END"])
    assert caught.value.detail["fields"] == {"stop": "is for models that do not reason"}
    assert endpoint.requests == []
    assert (await status(app)).locked_tokens == 0


@pytest.mark.usefixtures("as_acme")
@pytest.mark.parametrize(
    ("unusable", "error"),
    [
        (answer(None), UnusableAnswerError),
        (answer("", "length"), OutputLimitReachedError),
        (answer("half", "content_filter"), FilteredAnswerError),
        (answer(choices="none"), UnusableAnswerError),
    ],
)
async def test_usage_is_reported_whatever_else_is_wrong_with_an_answer(
    app: WholeApp, unusable: httpx2.Response, error: type[APIError]
) -> None:
    calling, _ = over_the_wire(app, unusable)
    with pytest.raises(error):
        await calling.chat_completion(HELLO)
    after = await status(app)
    assert (after.locked_tokens, after.used_tokens) == (0, 10)


@pytest.mark.usefixtures("as_acme")
async def test_each_call_leaves_a_record_of_its_application_without_a_text(app: WholeApp) -> None:
    secret = [{"role": "user", "content": "my very own secret"}]
    with kept_lines("shared") as lines:
        await service(app).chat_completion(secret)

    (line,) = (one for one in lines if one.get("extra", {}).get("event") == "model_call")
    told = [line["extra"][name] for name in ("app_id", "model", "prompt_tokens", "status")]
    assert (line["tenant_id"], *told) == ("acme", "my_app", "gpt-4o", 7, "succeeded")
    assert "secret" not in json.dumps(lines)


@pytest.mark.usefixtures("as_acme")
async def test_while_a_deployment_is_limited_the_next_one_answers(app: WholeApp) -> None:
    entry = {"model": "gpt-4o", "fallbacks": ["gpt-4.1"]}
    await app.must("put_model", Call.of(entry, headers=app.admin, name="ours"))
    calling, endpoint = over_the_wire(app, failure(429, {"retry-after": "30"}), answer(), answer())

    with kept_lines("shared.llm.route_asker") as lines:
        for _ in range(2):
            await calling.chat_completion(HELLO, "ours")

    assert [line["tenant_id"] for line in lines] == ["acme", "acme"]
    asked = [json.loads(request.content)["model"] for request in endpoint.requests]
    assert asked == ["ours", "gpt-4.1", "gpt-4.1"]
    assert app.clock.slept == []


@pytest.mark.usefixtures("as_acme")
async def test_a_call_has_three_attempts_in_all_and_waits_as_long_as_it_is_told(app: WholeApp) -> None:
    limited = failure(429, {"retry-after-ms": "2500"})
    calling, endpoint = over_the_wire(app, limited, limited, limited)
    with pytest.raises(ModelOutageError) as caught:
        await calling.send_prompt("Be brief.", "hello")
    assert len(endpoint.requests) == 3
    assert caught.value.retry_after == 2.5
    assert min(app.clock.slept) >= 2.5
    assert (await status(app)).locked_tokens == 0


@pytest.mark.usefixtures("as_acme")
async def test_a_call_waits_for_no_deployment_that_asks_for_long(app: WholeApp) -> None:
    calling, endpoint = over_the_wire(app, failure(429, {"retry-after": "6"}))
    with pytest.raises(ModelOutageError) as caught:
        await calling.send_prompt("Be brief.", "hello")
    assert (len(endpoint.requests), caught.value.retry_after, app.clock.slept) == (1, 6.0, [])
    assert (await status(app)).locked_tokens == 0


@pytest.mark.usefixtures("as_acme")
@pytest.mark.parametrize(
    "arguments",
    [
        {"temperature": 0, "top_p": 0, "frequency_penalty": -2, "presence_penalty": -2, "max_tokens": 1},
        {"temperature": 2, "top_p": 1, "frequency_penalty": 2, "presence_penalty": 2},
        {"stop": ["a", "b", "c", "x" * 1_000]},
        {"messages": HELLO * 10_000},
    ],
)
async def test_what_is_at_a_bound_is_taken(app: WholeApp, arguments: dict[str, object]) -> None:
    await service(app).chat_completion(**({"messages": HELLO} | arguments))  # type: ignore[arg-type]  # by name


@pytest.mark.usefixtures("as_acme")
@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ({"messages": []}, {"messages"}),
        ({"messages": [*HELLO, {"role": "tool", "content": "x"}]}, {"messages.1.role"}),
        ({"messages": [*HELLO, {"role": "user", "content": ""}]}, {"messages.1.content"}),
        ({"messages": [*HELLO, {"role": "user", "content": "x", "name": "n"}]}, {"messages.1.name"}),
        ({"model": "no model"}, {"model"}),
        ({"temperature": 2.1}, {"temperature"}),
        ({"temperature": float("nan")}, {"temperature"}),
        ({"max_tokens": 0}, {"max_tokens"}),
        ({"top_p": 1.1}, {"top_p"}),
        ({"frequency_penalty": -2.1, "presence_penalty": 3}, {"frequency_penalty", "presence_penalty"}),
        ({"stop": ["a", "b", "c", "d", "e"]}, {"stop"}),
        ({"stop": [""]}, {"stop.0"}),
        ({"stop": ["x" * 1_001]}, {"stop.0"}),
        ({"temperature": -0.1, "top_p": -0.1}, {"temperature", "top_p"}),
        ({"frequency_penalty": 2.1, "presence_penalty": -2.1}, {"frequency_penalty", "presence_penalty"}),
        ({"messages": HELLO * 10_001}, {"messages"}),
    ],
)
async def test_an_argument_at_fault_is_named_and_nothing_is_locked(
    app: WholeApp, arguments: dict[str, object], fields: set[str]
) -> None:
    calling = service(app)
    with pytest.raises(ValidationError) as caught:
        await calling.chat_completion(**({"messages": HELLO} | arguments))  # type: ignore[arg-type]  # what callers get wrong
    assert set(named_in(caught.value)) == fields
    assert (await status(app)).locked_tokens == 0


@pytest.mark.usefixtures("as_acme")
async def test_a_model_that_there_is_not_is_told_before_anything_is_locked(app: WholeApp) -> None:
    calling = service(app)
    for asked in (calling.chat_completion(HELLO, "gpt-none"), calling.estimate_tokens(HELLO, "gpt-none")):
        with pytest.raises(ModelUnavailableError):
            await asked
    assert (await status(app)).locked_tokens == 0


async def test_without_a_tenant_nothing_is_asked(app: WholeApp) -> None:
    calling = service(app)
    for call in (
        calling.chat_completion(HELLO),
        calling.send_prompt("", "hi"),
        calling.estimate_tokens(HELLO),
    ):
        with pytest.raises(ValueError, match="tenant_id is required"):
            await call
    assert app.runtime.__dict__["chat_model"].prompts == []


async def test_two_tenants_have_budgets_and_caches_of_their_own(app: WholeApp) -> None:
    await app.new_tenant("globex")
    calling, endpoint = over_the_wire(app, answer(), answer())
    for tenant in ("acme", "globex"):
        with acting_for(tenant_context(tenant, tier="premium")):
            await calling.chat_completion(HELLO)
        assert (await status(app, tenant)).used_tokens == 10
    keys = {json.loads(request.content)["prompt_cache_key"] for request in endpoint.requests}
    assert len(keys) == 2
    boss = await app.new_key("globex", Role.TENANT_ADMIN)
    usage = (await app.must("get_usage", Call(query="group_by=app_id", headers=boss))).json()
    assert [(row["app_id"], row["total_tokens"]) for row in usage["items"]] == [("my_app", 10)]


async def test_outside_of_a_request_the_tenant_is_named_and_must_be_active(app: WholeApp) -> None:
    await app.new_tenant("asleep")
    await app.must("update_tenant", Call.of({"status": "suspended"}, headers=app.admin, tenant_id="asleep"))
    for_acme = AzureOpenAIService(app_id="my_app", tenant_id="acme", runtime=app.runtime)

    assert await for_acme.send_prompt("", "hi") == "You said: hi"
    assert (await status(app)).used_tokens == 10
    for name in ("asleep", "nobody"):
        with pytest.raises(TenantNotFoundError):
            await AzureOpenAIService(tenant_id=name, runtime=app.runtime).send_prompt("", "hi")
    with (
        acting_for(tenant_context("globex", tier="premium")),
        pytest.raises(ValueError, match="not the tenant of this request"),
    ):
        await for_acme.send_prompt("", "hi")


def test_send_prompt_waits_for_the_budget_and_chat_completion_refuses() -> None:
    async def ask() -> tuple[float | None, float, str]:
        async with whole_app(LoopClock()) as app:
            await app.new_tenant("acme", "standard")
            with acting_for(tenant_context("acme", tier="standard")):
                calling = service(app)
                await app.runtime.token_client("my_app").lock_tokens(199_000)
                with pytest.raises(BudgetExceededError) as caught:
                    await calling.chat_completion(HELLO)
                began = app.clock.monotonic()
                text = await calling.send_prompt("Be brief.", "hello")
                return caught.value.retry_after, app.clock.monotonic() - began, text

    told, waited, text = simulate(ask())
    assert text == "You said: hello"
    assert told is not None
    assert told <= waited <= told + 2


def test_send_prompt_waits_for_no_budget_longer_than_its_request_may_take() -> None:
    async def ask() -> float:
        async with whole_app(LoopClock()) as app:
            await app.new_tenant("acme", "standard")
            with acting_for(tenant_context("acme", tier="standard")), deadline(30, app.clock):
                await app.runtime.token_client("my_app").lock_tokens(199_000)
                began = app.clock.monotonic()
                with pytest.raises(BudgetExceededError):
                    await service(app).send_prompt("Be brief.", "hello")
                return app.clock.monotonic() - began

    assert simulate(ask()) < 1


@pytest.mark.usefixtures("as_acme")
def test_a_prompt_is_the_instructions_the_examples_and_what_is_filled_in(app: WholeApp) -> None:
    examples = [{"role": "user", "content": "{raw}"}, {"role": "assistant", "content": "kept"}]
    messages = service(app).format_prompt(
        'Answer as {"json": true}.',
        "{{Count}} {count} {what}",
        {"count": 3, "what": "{count}", "unused": object()},
        examples,
    )
    assert messages == [
        {"role": "system", "content": 'Answer as {"json": true}.'},
        *examples,
        {"role": "user", "content": "{Count} 3 {count}"},
    ]


@pytest.mark.parametrize(
    ("template", "detail"),
    [
        ("Tell me about {topic}.", {"missing": ["topic"], "unknown": []}),
        ("{topic.__class__}", None),
        ("{topic!r:>10}", None),
        ("{", None),
    ],
)
def test_a_template_takes_names_alone_and_all_of_them(
    app: WholeApp, template: str, detail: dict[str, object] | None
) -> None:
    with pytest.raises(ValidationError) as caught:
        service(app).format_prompt("", template, {"other": 1})
    if detail is not None:
        assert caught.value.detail == detail
    else:
        assert named_in(caught.value) == ["body.user_prompt"]


@pytest.mark.parametrize(("template", "example"), [("", "x"), ("hi", "")])
def test_no_message_is_empty(app: WholeApp, template: str, example: str) -> None:
    with pytest.raises(ValidationError):
        service(app).format_prompt("", template, examples=[{"role": "user", "content": example}])


def test_an_application_has_an_id_and_a_resource_has_its_counter(app: WholeApp) -> None:
    with pytest.raises(ValidationError) as caught:
        AzureOpenAIService(app_id="no id", runtime=app.runtime)
    assert named_in(caught.value) == ["app_id"]
    with pytest.raises(ValueError, match="token_counter_url"):
        AzureOpenAIService(None, "my_app", None, "api://counter", runtime=app.runtime)
