"""The prompts' routes over the edge: shapes, refusals, roles, and one tenant's prompts being no other's."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from jsonschema import Draft202012Validator

from functions.prompts.models import RenderPromptRequest, SavePromptRequest
from shared.prompts.models import MAX_PLACEHOLDERS, MAX_VARIABLES
from tests.support.fakes import Call

if TYPE_CHECKING:
    from tests.support.fakes import Answer
    from tests.unit_tests.prompts.app import App


async def test_a_saved_prompt_is_shown_as_it_was_saved(app: App) -> None:
    saved = await app.save(description="Greets", tags=["demo"])
    shown = await app.get()

    assert (saved.status, shown.status) == (200, 200)
    assert saved.json() == shown.json()
    assert shown.json() == {
        "name": "p",
        "template": "Hello {who}",
        "version": 1,
        "labels": {"latest": 1},
        "source": "tenant",
        "description": "Greets",
        "tags": ["demo"],
        "variables": ["who"],
        "placeholders": [],
        "warnings": [],
        "config": {},
        "declared_variables": {},
        "examples": [],
        "reason": None,
        "updated_at": "2026-01-31T10:30:00Z",
        "updated_by": "key-of-acme",
        "etag": saved.headers["etag"],
    }


async def test_a_version_is_shown_with_the_labels_of_its_prompt(app: App) -> None:
    await app.save()
    second = await app.save(template="Goodbye {who}")
    first = (await app.get("version=1")).json()

    assert (first["version"], first["template"], first["labels"]) == (1, "Hello {who}", {"latest": 2})
    assert first["etag"] == second.headers["etag"]
    assert (await app.get("version=2")).json() == second.json() == (await app.get()).json()
    missing = await app.get("version=3")
    assert (missing.status, missing.json()["detail"]) == (404, {"name": "p", "version": 3})


async def test_if_match_refuses_to_save_over_a_newer_state(app: App) -> None:
    seen = (await app.save()).headers["etag"]
    assert (await app.save(headers={"if-match": seen})).status == 200

    refused = await app.save(headers={"if-match": seen})
    assert (refused.status, refused.json()["error"]) == (412, "PreconditionFailedError")
    assert (await app.get()).json()["version"] == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"template": ""}, "body.template.text"),
        ({"template": []}, "body.template.messages"),
        ({"template": [{"role": "tool", "content": "x"}]}, "body.template.messages.0.message.role"),
        ({"template": [{"placeholder": "a b"}]}, "body.template.messages.0.placeholder.placeholder"),
        ({"template": [{"role": "user", "content": "{a.b}"}]}, "body.template.0.content"),
        ({"template": [{"role": "user", "content": "{a}"}, {"placeholder": "a"}]}, "body.template"),
        ({"template": "{a.b}"}, "body.template"),
        ({"template": 1}, "body.template.text"),
        ({"tags": [1]}, "body.tags.0"),
        ({"config": []}, "body.config"),
        ({"config": {"x": "y" * 900_000}}, "body.config"),
        ({"template": [{"role": "user", "content": "\N{OWL}" * 40_000}] * 2}, "body"),
        ({"declared_variables": {"who": {}}}, "body.declared_variables"),
        ({"template": "{a}{b}", "declared_variables": {"a": {}}}, "body.declared_variables"),
        ({"examples": [{"input": "a", "output": "b"}]}, "body.examples"),
        ({"tenant_id": "globex"}, "body.tenant_id"),
        ({"id": "head:q"}, "body.id"),
        ({"_etag": "x"}, "body._etag"),
    ],
)
async def test_an_invalid_prompt_is_refused_by_field(app: App, body: dict[str, object], field: str) -> None:
    call = Call.of({"template": "x"} | body, headers=app.editor, name="p")
    refused = await app.client.call("save_prompt", call)

    assert (refused.status, next(iter(refused.json()["detail"]["fields"]))) == (422, field)
    assert (await app.get()).status == 404


@pytest.mark.parametrize(
    "value",
    ["Infinity", "NaN", "1e999", "9007199254740993", "[" * 17 + "]" * 17, '{"a":[-1e999]}', '"\\ud800"'],
)
async def test_a_config_that_no_store_keeps_as_it_is_is_refused(app: App, value: str) -> None:
    body = f'{{"template": "x", "config": {{"a": {value}}}}}'.encode()
    refused = await app.client.call("save_prompt", Call({"name": "p"}, "", app.editor, body))

    assert refused.status in {400, 422}, refused.body


async def test_a_config_comes_back_as_it_was(app: App) -> None:
    config = {"a": [None, True, 0.1, -(2**53) + 1, "\u00e4", {"b": {}}], "c": [[[[[[]]]]]], "": 1e300}
    saved = await app.save(config=config)
    assert saved.status == 200, saved.body

    assert (await app.get("fresh=true")).json()["config"] == config


@pytest.mark.parametrize("name", ["a/b", ".hidden", "a b", "", "x" * 129, "a\n"])
async def test_a_name_is_plain(app: App, name: str) -> None:
    assert (await app.save(name)).status == 422


@pytest.mark.parametrize("query", ["version=0", "version=x", "label=1", "version=1&label=latest", "who=me"])
async def test_a_version_is_a_number_or_a_label_and_not_both(app: App, query: str) -> None:
    await app.save()

    assert (await app.get(query)).status == 422


async def test_rendering_fills_in_the_latest_version_or_names_what_does_not_fit(app: App) -> None:
    await app.save()

    assert (await app.render({"who": "{world}"})).json() == {
        "text": "Hello {world}",
        "messages": None,
        "version": 1,
        "source": "tenant",
        "config": {},
    }
    refused = await app.render({"whom": "x"})
    assert (refused.status, refused.json()["detail"]) == (422, {"missing": ["who"], "unknown": ["whom"]})
    assert (await app.render({"who": 1})).status == 422


@pytest.mark.parametrize("examples", [[], [{"input": "a", "output": "b"}]])
async def test_what_is_saved_has_no_more_variables_than_a_request_can_fill_in(
    app: App, examples: list[object]
) -> None:
    place = ["examples"] * len(examples)
    values = {f"v{number}": "x" for number in range(MAX_VARIABLES)}
    lists: dict[str, list[object]] = {f"m{number}": [] for number in range(MAX_PLACEHOLDERS)}

    def text(*names: str) -> str:
        return " ".join(f"{{{name}}}" for name in names)

    def chat(*names: str) -> list[object]:
        return [{"placeholder": name} for name in names]

    for template, filled in (
        (text(*values, *place), {"variables": values}),
        (chat(*lists, *place), {"messages": lists}),
    ):
        assert (await app.save(template=template, examples=examples)).status == 200
        call = Call.of(filled, headers=app.user, name="p")
        assert (await app.client.call("render_prompt", call)).status == 200
    for template in (text(*values, "more", *place), chat(*lists, "more", *place)):
        refused = await app.save(template=template, examples=examples)
        assert refused.status == 422
        assert "more than" in refused.json()["detail"]["fields"]["body.template"]


async def test_the_list_pages_by_name(app: App) -> None:
    for name in ("c", "a", "b"):
        await app.save(name)

    async def page(query: str) -> Answer:
        return await app.client.call("list_prompts", Call(query=query, headers=app.user))

    first = (await page("limit=2")).json()
    second = (await page(f"limit=2&cursor={first['next_cursor']}")).json()
    assert [item["name"] for item in first["items"]] == ["a", "b"]
    assert ([item["name"] for item in second["items"]], second["next_cursor"]) == (["c"], None)
    assert not {"template", "config", "examples"} & first["items"][0].keys()


async def test_users_read_and_only_the_tenants_administrators_write(app: App) -> None:
    call = Call.of({"template": "x"}, headers=app.user, name="p")

    assert (await app.client.call("save_prompt", call)).status == 403
    assert (await app.client.call("get_prompt", Call(path={"name": "p"}))).status == 401


async def test_another_tenants_prompt_is_a_404_like_one_that_is_not_there(app: App) -> None:
    absent = await app.get(headers=app.stranger)
    await app.save(template="secret {who}")
    answers = [
        await app.get(headers=app.stranger),
        await app.get("version=1", headers=app.stranger),
        await app.render({"who": "x"}, headers=app.stranger),
    ]

    assert [answer.status for answer in answers] == [404] * 3
    assert answers[0].json()["message"] == absent.json()["message"]
    assert not any(b"secret" in answer.body for answer in answers)
    listed = await app.client.call("list_prompts", Call(headers=app.stranger))
    assert listed.json() == {"items": [], "next_cursor": None}


async def test_saving_under_another_tenants_name_and_etag_leaves_the_other_prompt_alone(app: App) -> None:
    etag = (await app.save(template="acme's")).headers["etag"]

    assert (await app.save(headers=app.stranger | {"if-match": etag})).status == 412
    mine = await app.save(headers=app.stranger, template="globex's")
    assert (mine.status, mine.json()["version"]) == (200, 1)
    assert ((await app.get()).json()["template"], (await app.get()).json()["version"]) == ("acme's", 1)


@pytest.mark.parametrize(
    "template", ["Hello {{name}}", "Hello {{ name }}", "{{user.name}}", "{{{{x}}}} {{name}}"]
)
async def test_a_variable_in_double_braces_is_saved_as_text_and_warned_of(app: App, template: str) -> None:
    saved = await app.save(template=template)
    batch = await app.batch("batch_save_prompts", {"prompts": [{"name": "q", "template": template}]})

    (warning,) = saved.json()["warnings"]
    assert "is text, no variable" in warning
    assert (await app.get()).json()["warnings"] == [warning]
    assert batch.json()["results"][0]["warnings"] == [warning]


@pytest.mark.parametrize(
    "template", ["Hello {name}", '{{"name": {name}}}', "{{{name}}}", "{{{{name}}}}", "{{}}", "a {{ b c }} d"]
)
async def test_braces_that_are_meant_are_not_warned_of(app: App, template: str) -> None:
    assert (await app.save(template=template)).json()["warnings"] == []


async def test_a_warning_names_the_message_and_there_are_ten_at_most(app: App) -> None:
    parts = [{"role": "system", "content": "x"}, {"role": "user", "content": "{{name}} {{name}}"}]
    many = " ".join(f"{{{{v{number}}}}}" for number in range(50))

    assert [text[:10] for text in (await app.save(template=parts)).json()["warnings"]] == ["message 1:"]
    assert len((await app.save(template=many)).json()["warnings"]) == 10


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("Dear {user-name}", "'{user-name}' is no variable"),
        ("Dear {user name}!", "'{user name}' is no variable"),
        ("{user.name}", "'{user.name}' is no variable"),
        ("{}", "'{}' is no variable"),
        ("{1st}", "'{1st}' is no variable"),
        ("{%if x%}", "'{%if x%}' is no variable"),
        ("{" + "x" * 65 + "}", "is no variable"),
    ],
)
async def test_the_refusal_of_a_variable_says_what_a_name_may_be(app: App, template: str, said: str) -> None:
    refused = (await app.save(template=template)).json()

    assert said in refused["message"]
    assert "letters, digits and underscores" in refused["message"]


async def test_a_stray_brace_is_told_to_be_doubled(app: App) -> None:
    for template in ("a { b", "a } b"):
        assert "double it to mean a brace" in (await app.save(template=template)).json()["message"]


async def test_a_prompt_shows_the_lists_of_messages_that_it_wants(app: App) -> None:
    template = [{"placeholder": "examples"}, {"placeholder": "history"}, {"role": "user", "content": "{x}"}]
    plain = (await app.save(template=template)).json()
    own = (await app.save(template=template, examples=[{"input": "a", "output": "b"}])).json()

    assert plain["placeholders"] == ["examples", "history"]
    assert (own["placeholders"], own["variables"]) == (["history"], ["x"])


@pytest.mark.parametrize("version", ["2.0", "1_0", " 1", "+1", "1e0", "\u0661", "01x"])
async def test_a_versions_number_is_made_of_digits(app: App, version: str) -> None:
    await app.save()
    await app.save()

    assert (await app.get(f"version={quote(version)}")).status == 422
    assert (await app.ask("get_prompt_version", version=version)).status == 422


async def test_prompts_are_listed_by_the_beginning_of_their_name(app: App) -> None:
    for name in ("a", "ab", "ab.c", "abc", "b", "Ab", "xab"):
        await app.save(name)

    async def names(query: str) -> list[str]:
        return [prompt["name"] for prompt in (await app.ask("list_prompts", query)).json()["items"]]

    assert await names("prefix=ab") == ["ab", "ab.c", "abc"]
    assert await names("prefix=ab&cursor=ab&limit=1") == ["ab.c"]
    assert await names("prefix=ab.") == ["ab.c"]
    assert await names("prefix=zz") == []
    assert (await app.ask("list_prompts", "prefix=%25")).status == 422


def test_the_document_announces_that_only_names_are_keys() -> None:
    lists = Draft202012Validator(RenderPromptRequest.model_json_schema())
    drafts = Draft202012Validator(SavePromptRequest.model_json_schema())

    for key, admitted in (("who", True), ("_1", True), ("1", False), ("a b", False), ("", False)):
        assert lists.is_valid({"messages": {key: []}}) is admitted
        assert drafts.is_valid({"template": "x", "declared_variables": {key: {}}}) is admitted
