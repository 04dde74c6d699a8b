"""The examples of the bot manager document run, changed in their imports alone, each as a tenant's caller."""

from __future__ import annotations

import ast
import inspect
import re
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from compat import fastapi as bot_api
from functions.chat.bots.manager import BotContext, BotManager, DynaBot
from shared.tenancy.context import Role, acting_for
from tests.support.fakes import tenant_context
from tests.support.whole_app import whole_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from fastapi import FastAPI

    from tests.support.whole_app import WholeApp

EXAMPLES = Path(__file__).parent / "document_examples"
CONFIG = {
    "llm": {"provider": "openai", "model": "gpt-4o"},
    "conversation_storage": {"backend": "memory"},
    "system_prompt": "You are a helpful customer support assistant.",
}
_IMPORT = re.compile(r"^from dataknobs_bots\S* import (\([^)]*\)|.*)$", re.MULTILINE)


@pytest.fixture
async def app() -> AsyncIterator[WholeApp]:
    async with whole_app() as app:
        for tenant in ("client-A", "client-B"):
            await app.new_tenant(tenant)
        yield app


@pytest.fixture
def as_client_a(app: WholeApp) -> Iterator[None]:
    with acting_for(tenant_context("client-A")):
        yield


def names_of(app: WholeApp) -> dict[str, Any]:
    """Return what the document imports, on the app in memory."""
    return {
        "__name__": "document",
        "BotContext": BotContext,
        "BotManager": partial(BotManager, runtime=app.runtime),
        "DynaBot": DynaBot,
        **{name: getattr(bot_api, name) for name in bot_api.__all__},
        "init_bot_manager": partial(bot_api.init_bot_manager, runtime=app.runtime),
    }


async def run(example: str, names: dict[str, Any]) -> dict[str, Any]:
    """Run an example without its imports of the document's package: what they name is there."""
    program = _IMPORT.sub("", (EXAMPLES / f"{example}.py.txt").read_text())
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    outcome = eval(compile(program, example, "exec", flags), names)  # noqa: S307  # the document's own lines
    if inspect.isawaitable(outcome):
        await outcome
    return names


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the file there that the document's loaders read."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "support-bot.yaml").write_text(yaml.safe_dump(CONFIG))
    monkeypatch.chdir(tmp_path)


class Database:
    """A database with one table of configurations."""

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Database]:
        yield self

    async def fetchone(self, query: str, bot_id: str) -> dict[str, Any]:
        assert "bot_configs" in query
        return {"config": {"support-bot": CONFIG}[bot_id]}


@pytest.mark.usefixtures("as_client_a")
async def test_basic_usage(app: WholeApp) -> None:
    names = await run("basic_usage", names_of(app))

    assert names["response"] == "You said: Hello, I need help"
    assert names["same_bot"] is names["bot"]


@pytest.mark.usefixtures("as_client_a", "configs")
@pytest.mark.parametrize("example", ["function_loader", "async_loader", "class_loader"])
async def test_the_three_loaders(app: WholeApp, example: str) -> None:
    names = await run(example, names_of(app) | {"yaml": yaml, "db": Database()})
    bot = await names["manager"].get_or_create("support-bot")

    assert await bot.chat("hi", BotContext("c", "client-A")) == "You said: hi"


@pytest.mark.usefixtures("as_client_a")
async def test_lifecycle(app: WholeApp, capsys: pytest.CaptureFixture[str]) -> None:
    manager = BotManager(lambda _: CONFIG, runtime=app.runtime)
    await manager.get_or_create("support-bot")

    names = await run("lifecycle", names_of(app) | {"manager": manager})

    printed = ["Active bots: ['support-bot']", "Total bots: 1", "Bot removed: True"]
    assert capsys.readouterr().out.splitlines() == printed
    assert isinstance(names["bot"], DynaBot)
    assert manager.list_bots() == []


async def test_pattern_1_a_bot_for_each_client(app: WholeApp) -> None:
    async def load_client_config(client_id: str) -> dict[str, Any]:
        return CONFIG | {"system_prompt": f"You serve {client_id}."}

    names = await run("per_client", names_of(app) | {"load_client_config": load_client_config})
    manager = BotManager(runtime=app.runtime)
    for client in ("client-A", "client-B"):
        with acting_for(tenant_context(client)):
            bot = await names["get_bot_for_client"](manager, client)
            assert await names["get_bot_for_client"](manager, client) is bot
            await bot.chat("hi", BotContext("c", client))

    said = [prompt.messages[0].content for prompt in app.runtime.__dict__["chat_model"].prompts]
    assert said == ["You serve client-A.", "You serve client-B."]


async def test_pattern_2_one_bot_shared_by_clients_that_see_nothing_of_each_other(app: WholeApp) -> None:
    names = await run("shared_bot", names_of(app) | {"shared_config": CONFIG})
    manager = BotManager(runtime=app.runtime)
    for client in ("client-A", "client-B"):
        with acting_for(tenant_context(client)):
            answer = await names["chat_with_shared_bot"](manager, client, "u", f"I am {client}")
            assert answer == f"You said: I am {client}"

    last = app.runtime.__dict__["chat_model"].prompts[-1]
    assert [message.content for message in last.messages[1:]] == ["I am client-B"]


@pytest.mark.usefixtures("as_client_a")
async def test_pattern_3_pools_by_type(app: WholeApp) -> None:
    loaders = {
        f"{kind}_loader": lambda _, kind=kind: CONFIG | {"system_prompt": kind}
        for kind in ("support", "sales", "general")
    }
    names = await run("bot_pools", names_of(app) | loaders)
    pool = names["BotPool"]()

    for kind in ("support", "sales", "general"):
        await (await pool.get_bot(kind, "b")).chat("hi", BotContext("c", "client-A"))
    said = [prompt.messages[0].content for prompt in app.runtime.__dict__["chat_model"].prompts]
    assert said == ["support", "sales", "general"]
    with pytest.raises(ValueError, match="Unknown bot type"):
        await pool.get_bot("none", "b")


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Start a FastAPI app, with what it does on startup and shutdown."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport) as client:
        client.base_url = httpx.URL("http://bots.test")
        yield client


@pytest.mark.filterwarnings("ignore:\\s*on_event is deprecated:DeprecationWarning")
async def test_the_complete_example(app: WholeApp) -> None:
    names = await run("complete_example", names_of(app))
    keys = {client: await app.new_key(client, Role.USER) for client in ("client-A", "client-B")}

    async with served(names["app"]) as http:

        async def chat(client: str, named: str | None = None, bot: str = "support") -> httpx.Response:
            body = {"message": f"I am {client}", "conversation_id": "c1", "client_id": named or client}
            return await http.post(f"/bots/{bot}/chat", json=body, headers=keys[client])

        answers = [await chat("client-A"), await chat("client-A"), await chat("client-B")]
        listed = {client: (await http.get("/bots", headers=keys[client])).json() for client in keys}
        foreign = await chat("client-B", named="client-A")
        unknown = await chat("client-A", bot="nowhere")
        anonymous = await http.get("/bots")
        removed = [await http.delete("/bots/support", headers=keys["client-A"]) for _ in range(2)]
        left = await http.get("/bots", headers=keys["client-B"])
        malformed = await http.post("/bots/support/chat", json={"message": 7}, headers=keys["client-A"])

    assert [answer.json() for answer in answers] == [
        {"response": f"You said: I am {client}", "conversation_id": "c1"}
        for client in ("client-A", "client-A", "client-B")
    ]
    lengths = [len(prompt.messages) for prompt in app.runtime.__dict__["chat_model"].prompts]
    assert lengths == [2, 4, 2]
    assert listed == {client: {"bots": ["support"], "count": 1} for client in keys}
    assert (foreign.status_code, foreign.json()["error"]) == (404, "BotNotFoundError")
    assert (unknown.status_code, unknown.json()["error"]) == (422, "BotCreationError")
    assert (anonymous.status_code, anonymous.headers["www-authenticate"]) == (401, "Bearer")
    assert [answer.status_code for answer in removed] == [200, 404]
    assert left.json()["count"] == 1
    assert set(removed[1].json()) == {"error", "message", "detail", "timestamp", "request_id"}
    assert (
        removed[1].json()
        | {
            "error": "BotNotFoundError",
            "message": "Bot with ID 'support' not found",
            "detail": {"bot_id": "support"},
        }
        == removed[1].json()
    )
    assert removed[1].headers["x-request-id"] == removed[1].json()["request_id"]
    assert malformed.status_code == 422
    assert "body.message" in malformed.json()["detail"]["fields"]


async def test_exception_handling(app: WholeApp) -> None:
    names = names_of(app)
    names["FastAPI"] = __import__("fastapi").FastAPI
    names["init_bot_manager"]()
    await run("exception_handling", names)
    key = await app.new_key("client-A", Role.USER)

    async with served(names["app"]) as http:
        absent = await http.get("/bots/b", headers=key)
        bad = await http.post("/bots/b", json={"llm": {"secret": "x"}}, headers=key)
        made = await http.post("/bots/b", json=CONFIG, headers=key)
        shown = await http.get("/bots/b", headers=key)
    bot_api.reset_bot_manager()

    assert (absent.status_code, absent.json()["message"]) == (404, "Bot with ID 'b' not found")
    assert (bad.status_code, bad.json()["error"]) == (422, "BotCreationError")
    assert (made.json(), shown.json()) == (
        {"bot_id": "b", "created": True},
        {"bot_id": "b", "status": "active"},
    )
