"""Bodies of requests: by what the deployment's entry says, whatever it is called."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from shared.contracts import ChatMessage, PromptUse
from shared.llm.catalogue_model import CatalogueModel, hash_names
from shared.llm.chat_model import ChatPrompt, ModelUnavailableError, Sampling
from shared.llm.model_call import CallOrigin
from shared.llm.request_body import build_chat_body
from shared.llm.token_counting import TokenCounter
from tests.support.fakes import tenant_context
from tests.support.models import deployment
from tests.support.whole_app import EchoModel
from tests.unit_tests.llm.test_openai_client import PROMPT

if TYPE_CHECKING:
    from shared.llm.deployments import ModelDeployment

FULL = replace(PROMPT, reasoning_effort="low")
MESSAGES = (ChatMessage(role="user", content="hi"),)


@pytest.mark.parametrize("name", ["gpt-6", "gpt-4o", "our-own"])
def test_a_model_that_reasons_gets_an_effort_and_no_temperature_whatever_its_name(name: str) -> None:
    body = build_chat_body(FULL, deployment(name, reasoning=True))
    assert (body["max_completion_tokens"], body["reasoning_effort"]) == (100, "low")
    assert not {"temperature", "max_tokens"} & body.keys()


@pytest.mark.parametrize("name", ["o3", "gpt-5", "our-own"])
def test_another_gets_a_temperature_and_no_effort_whatever_its_name(name: str) -> None:
    body = build_chat_body(FULL, deployment(name, reasoning=False))
    assert (body["max_tokens"], body["temperature"]) == (100, 0.2)
    assert not {"reasoning_effort", "max_completion_tokens"} & body.keys()


def test_the_provider_is_asked_by_its_own_name_for_the_deployment() -> None:
    assert build_chat_body(FULL, deployment("ours", deployment="gpt-4o-eu"))["model"] == "gpt-4o-eu"


def test_a_fallback_is_asked_for_no_more_than_it_gives() -> None:
    assert build_chat_body(FULL, deployment(max_output_tokens=50))["max_tokens"] == 50


def test_how_words_are_chosen_is_said_to_models_that_do_not_reason_alone() -> None:
    sampling = Sampling(top_p=0.0, frequency_penalty=-1, presence_penalty=1, stop=("END",))
    prompt = replace(FULL, sampling=sampling)
    said = {"top_p": 0.0, "frequency_penalty": -1, "presence_penalty": 1, "stop": ["END"]}

    assert said.items() <= build_chat_body(prompt, deployment(reasoning=False)).items()
    assert not said.keys() & build_chat_body(prompt, deployment(reasoning=True)).keys()
    assert not said.keys() & build_chat_body(FULL, deployment(reasoning=False)).keys()


@pytest.mark.parametrize(
    ("said", "takes"),
    [
        ({}, True),
        ({"provider": "openai-compatible", "base_url": "https://api.openai.com/v1"}, True),
        ({"provider": "openai-compatible", "base_url": "https://api.openai.com.example/v1"}, False),
        ({"provider": "openai-compatible", "base_url": "http://localhost:11434/v1"}, False),
        ({"provider": "azure-api-version", "api_version": "2024-10-21"}, False),
    ],
)
def test_who_knows_the_new_fields_gets_them_and_others_the_old_one(
    said: dict[str, object], *, takes: bool
) -> None:
    body = build_chat_body(FULL, deployment(**said))
    new = {"safety_identifier": "somebody", "prompt_cache_key": "support-7"}
    sent = {name: body[name] for name in ("user", *new) if name in body}
    assert sent == (new if takes else {"user": "somebody"})


class OneModel:
    """Catalogue with one model, and what may be asked in its place."""

    def __init__(self, *fallbacks: ModelDeployment, **said: object) -> None:
        self.route_of = (deployment("gpt-4o", **said), *fallbacks)

    async def route(self, tenant: object, name: str) -> object:
        assert tenant
        assert name
        return self.route_of


class Recorder(EchoModel):
    """Keeps what it was asked."""


async def prepared(
    prompt: ChatPrompt, tenant: str = "acme", app: str = "bot:b", **said: object
) -> ChatPrompt:
    model = CatalogueModel(OneModel(**said), Recorder(), tenant_context(tenant), app)  # type: ignore[arg-type]  # fakes
    return await model.prepare(prompt)


async def test_a_call_that_names_no_output_limit_gets_the_entrys_default() -> None:
    plain = ChatPrompt(MESSAGES, "gpt-4o")
    assert (await prepared(plain, default_output_tokens=700)).output_limit == 700
    assert (await prepared(replace(plain, max_output_tokens=9))).output_limit == 9
    with pytest.raises(ValueError, match="no output limit"):
        _ = plain.output_limit


LOCAL = {"provider": "openai-compatible", "base_url": "http://localhost:11434/v1"}
OTHERS = (deployment("o3", reasoning=True), deployment("llama", **LOCAL), deployment("gpt-4.1"))


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, ["gpt-4o", "o3", "llama", "gpt-4.1"]),
        ({"only_azure": True}, ["gpt-4o", "o3", "gpt-4.1"]),
        ({"sampling": Sampling(stop=("END",))}, ["gpt-4o", "llama", "gpt-4.1"]),
        ({"sampling": Sampling(stop=("END",)), "only_azure": True}, ["gpt-4o", "gpt-4.1"]),
    ],
)
async def test_a_fallback_that_may_not_see_a_prompt_or_cannot_stop_is_left_out(
    changes: dict[str, Any], names: list[str]
) -> None:
    prompt = replace(ChatPrompt(MESSAGES, "gpt-4o"), **changes)
    model = CatalogueModel(OneModel(*OTHERS), Recorder(), tenant_context(), "a")  # type: ignore[arg-type]  # fakes
    assert [one.name for one in (await model.prepare(prompt)).route] == names


async def test_a_prompt_for_azure_alone_is_refused_where_its_model_is_another_providers() -> None:
    prompt = ChatPrompt(MESSAGES, "gpt-4o", only_azure=True)
    with pytest.raises(ModelUnavailableError, match="not one of Azure's"):
        await prepared(prompt, **LOCAL)


async def test_a_cache_key_is_one_tenants_bots_and_prompt_versions() -> None:
    def of_version(version: int) -> CallOrigin:
        return CallOrigin(prompt=PromptUse(name="support", version=version))

    plain = ChatPrompt(MESSAGES, "gpt-4o", origin=of_version(7))
    own = (await prepared(plain)).cache_key
    assert own == (await prepared(replace(plain, user="u", messages=MESSAGES * 2))).cache_key
    others = {
        (await prepared(plain, tenant="globex")).cache_key,
        (await prepared(plain, app="bot:c")).cache_key,
        (await prepared(replace(plain, origin=of_version(8)))).cache_key,
    }
    assert own not in others
    assert len(others) == 3


async def test_no_name_of_a_user_or_a_tenant_reaches_the_provider() -> None:
    sent = await prepared(ChatPrompt(MESSAGES, "gpt-4o", user="ann@example.com"))
    body = str(build_chat_body(sent, sent.route[0]))
    assert "ann" not in body
    assert "acme" not in body
    assert (
        sent.safety_identifier
        != (await prepared(replace(sent, user="ann@example.com"), "globex")).safety_identifier
    )
    assert (await prepared(ChatPrompt(MESSAGES, "gpt-4o"))).safety_identifier is None


def test_names_that_run_into_each_other_have_other_hashes() -> None:
    assert hash_names("a", "bc") != hash_names("ab", "c")
    assert len(hash_names("\ud800")) == 40


async def test_a_prompt_is_counted_by_the_deployments_tokenizer_not_by_its_name() -> None:
    text = "Zażółć gęślą jaźń, 你好"
    messages = (ChatMessage(role="user", content=text),)
    counter = TokenCounter()
    counts = {
        tokenizer: await counter.count_prompt(
            ChatPrompt(messages, "x", route=(deployment("x", tokenizer=tokenizer),))
        )
        for tokenizer in ("o200k_base", "cl100k_base")
    }
    assert counts["o200k_base"] < counts["cl100k_base"]
    assert counts["cl100k_base"] == await counter.count_prompt(ChatPrompt(messages, "gpt-4"))
