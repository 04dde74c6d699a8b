"""Labels, history, differences, deletion and the global prompts, over the routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.cosmos.container import Patch, PatchOperation
from tests.support.fakes import Call

if TYPE_CHECKING:
    from tests.support.fakes import FakeClock
    from tests.support.memory_cosmos import MemoryCosmos
    from tests.unit_tests.prompts.app import App


async def two_versions(app: App) -> str:
    await app.save(reason="first try", tags=["old"])
    return (await app.save(template="Goodbye {who}", reason="shorter")).headers["etag"]


async def test_a_label_moves_and_moving_it_back_is_a_rollback(app: App) -> None:
    await two_versions(app)
    assert (await app.label("production", 2)).json()["labels"] == {"latest": 2, "production": 2}
    live = (await app.get("label=production")).json()
    assert (live["template"], live["labels"]) == ("Goodbye {who}", {"latest": 2, "production": 2})

    moved = await app.label("production", 1)

    back = (await app.get("label=production")).json()
    assert (back["template"], back["version"]) == ("Hello {who}", 1)
    assert back["labels"] == {"latest": 2, "production": 1}
    assert back["etag"] == moved.headers["etag"]
    assert (await app.get()).json()["version"] == 2


async def test_reading_by_a_label_is_two_point_reads_at_most(app: App, cosmos: MemoryCosmos) -> None:
    await two_versions(app)
    await app.label("production", 1)
    await app.label("staging", 2)
    before = cosmos.transport.requests

    await app.get("label=production&fresh=true")
    of_an_old_one = cosmos.transport.requests - before
    await app.get("label=staging&fresh=true")
    await app.get("label=production")

    assert (of_an_old_one, cosmos.transport.requests - before) == (2, 4)


@pytest.mark.parametrize(
    ("label", "version", "status"),
    [("latest", 1, 422), ("production", 3, 404), ("1st", 1, 422), ("a/b", 1, 422), ("production", 0, 422)],
)
async def test_a_label_points_at_a_version_that_is_there(
    app: App, label: str, version: int, status: int
) -> None:
    await two_versions(app)

    assert (await app.label(label, version)).status == status
    assert (await app.ask("list_prompt_labels")).json()["labels"] == {"latest": 2}


async def test_a_prompt_has_fifty_labels_at_most(app: App) -> None:
    await two_versions(app)
    for number in range(50):
        assert (await app.label(f"l{number}", 1)).status == 200

    assert (await app.label("one-more", 1)).status == 422
    assert (await app.label("l7", 2)).status == 200


async def test_a_label_is_taken_away_once(app: App) -> None:
    await two_versions(app)
    await app.label("production", 1)

    assert (await app.ask("remove_prompt_label", label="production")).status == 204
    again = await app.ask("remove_prompt_label", label="production")
    assert (again.status, again.json()["detail"]["label"]) == (404, "production")
    assert (await app.get("label=production")).status == 404
    assert (await app.ask("remove_prompt_label", label="latest")).status == 422


async def test_a_prompt_saved_anew_after_its_deletion_has_no_old_labels(app: App) -> None:
    await app.save()
    await app.label("production", 1)
    await app.ask("delete_prompt")

    saved = await app.save(template="Another life")

    assert saved.json()["labels"] == {"latest": 2}
    assert (await app.get("label=production")).status == 404
    assert (await app.ask("list_prompt_labels")).json()["labels"] == {"latest": 2}
    last = (await app.ask("get_prompt_history")).json()["items"][0]
    assert (last["action"], last["labels_removed"]) == ("save", {"production": 1})


async def test_a_batch_that_saves_a_deleted_prompt_brings_no_old_labels_back(app: App) -> None:
    await app.save()
    await app.label("production", 1)
    await app.batch("batch_delete_prompts", {"names": ["p"]})

    await app.batch("batch_save_prompts", {"prompts": [{"name": "p", "template": "Another life"}]})

    assert (await app.get("label=production")).status == 404
    last = (await app.ask("get_prompt_history")).json()["items"][0]
    assert (last["version"], last["labels_removed"]) == (2, {"production": 1})


async def test_restoring_brings_the_labels_back_that_a_prompt_was_deleted_with_and_no_older_ones(
    app: App,
) -> None:
    await app.save()
    await app.label("production", 1)
    await app.ask("delete_prompt")

    assert (await app.ask("restore_prompt")).json()["labels"] == {"latest": 1, "production": 1}
    await app.ask("delete_prompt")
    await app.save(template="Another life")
    await app.label("staging", 2)
    await app.ask("delete_prompt")
    assert (await app.ask("restore_prompt")).json()["labels"] == {"latest": 2, "staging": 2}
    assert (await app.get("label=production")).status == 404
    assert (await app.get("label=staging")).json()["template"] == "Another life"


async def test_every_change_honours_if_match(app: App) -> None:
    old = (await app.save()).headers["etag"]
    await two_versions(app)

    assert (await app.label("production", 1, **{"if-match": old})).status == 412
    outdated = app.editor | {"if-match": old}
    for route in ("delete_prompt", "restore_prompt"):
        assert (await app.ask(route, headers=outdated)).status == 412
    assert (await app.ask("remove_prompt_label", headers=outdated, label="x")).status == 412
    seen = (await app.get()).headers["etag"]
    assert (await app.label("production", 1, **{"if-match": seen})).status == 200


async def test_the_history_says_who_did_what_when_and_why(app: App, clock: FakeClock) -> None:
    await two_versions(app)
    clock.advance(60)
    await app.label("production", 1)
    await app.ask("delete_prompt", "reason=unused")
    await app.ask("restore_prompt")
    await app.ask("remove_prompt_label", label="production")

    first = (await app.ask("get_prompt_history", "limit=4")).json()
    rest = (await app.ask("get_prompt_history", f"limit=4&cursor={first['next_cursor']}")).json()

    entries = first["items"] + rest["items"]
    assert [(e["number"], e["action"], e["version"], e["label"], e["reason"]) for e in entries] == [
        (6, "unlabel", 1, "production", None),
        (5, "restore", None, None, None),
        (4, "delete", None, None, "unused"),
        (3, "label", 1, "production", "tried"),
        (2, "save", 2, None, "shorter"),
        (1, "save", 1, None, "first try"),
    ]
    assert {entry["by"] for entry in entries} == {"key-of-acme"}
    assert (entries[0]["at"], entries[5]["at"]) == ("2026-01-31T10:31:00Z", "2026-01-31T10:30:00Z")
    assert rest["next_cursor"] is None


async def test_versions_are_listed_newest_first_without_their_templates(app: App) -> None:
    await two_versions(app)
    await app.save(template="third")
    await app.label("production", 1)

    first = (await app.ask("list_prompt_versions", "limit=2")).json()
    rest = (await app.ask("list_prompt_versions", f"limit=2&cursor={first['next_cursor']}")).json()

    listed = first["items"] + rest["items"]
    assert [(v["version"], v["labels"], v["reason"], v["tags"]) for v in listed] == [
        (3, {"latest": 3}, None, []),
        (2, {}, "shorter", []),
        (1, {"production": 1}, "first try", ["old"]),
    ]
    assert "template" not in listed[0]
    shown = (await app.ask("get_prompt_version", version="1")).json()
    assert (shown["template"], shown["labels"]) == ("Hello {who}", {"latest": 3, "production": 1})
    assert (await app.ask("get_prompt_version", version="4")).status == 404


async def test_two_versions_are_compared_by_number_or_label(app: App) -> None:
    await app.save(template="Hello {who}\nBye", config={"model": "a"}, tags=["x"])
    await app.save(template="Hello {who}!\nBye", config={"model": "b"}, tags=["x"])
    await app.label("production", 1)

    last = (await app.ask("diff_prompt")).json()
    named = (await app.ask("diff_prompt", "from=production&to=2")).json()

    assert last == named
    assert (last["from_version"], last["to_version"]) == (1, 2)
    assert last["changed"] == ["template", "config"]
    lines = last["diff"].split("\n")
    assert lines[:2] == ["--- version 1", "+++ version 2"]
    assert [line for line in lines[2:] if line[0] in "+-"] == [
        "-Hello {who}",
        "+Hello {who}!",
        '-  "model": "a"',
        '+  "model": "b"',
    ]
    same = (await app.ask("diff_prompt", "from=2")).json()
    assert (same["changed"], same["diff"]) == ([], "")


async def test_a_comparison_with_what_is_not_there_or_too_long_is_refused(app: App) -> None:
    await app.save(template="\n" * 3000)
    await app.save()
    assert (await app.ask("diff_prompt", "from=nolabel")).status == 404
    too_long = await app.ask("diff_prompt")
    assert (too_long.status, too_long.json()["detail"]["max_lines"]) == (422, 2000)


async def test_the_first_version_is_all_new(app: App) -> None:
    await app.save()

    first = (await app.ask("diff_prompt")).json()

    assert (first["from_version"], first["to_version"], first["changed"]) == (0, 1, ["template"])
    assert "+Hello {who}" in first["diff"].split("\n")


async def test_chat_prompts_are_compared_message_by_message(app: App) -> None:
    chat = [{"role": "system", "content": "Be {tone}"}, {"placeholder": "history"}]
    await app.save(template=chat)
    await app.save(template=[*chat, {"role": "user", "content": "{question}"}])

    diff = (await app.ask("diff_prompt")).json()["diff"]

    assert [line for line in diff.split("\n")[2:] if line[0] == "+"] == ["+[user]", "+{question}"]


async def test_a_deleted_prompt_is_gone_and_comes_back_as_it_was(app: App) -> None:
    await two_versions(app)
    await app.label("production", 1)
    before = (await app.get()).json()

    assert (await app.ask("delete_prompt")).status == 204

    assert (await app.get()).status == (await app.get("version=1")).status == 404
    assert (await app.render({"who": "x"})).status == 404
    assert (await app.label("production", 2)).status == 404
    assert (await app.ask("list_prompts")).json()["items"] == []
    assert [p["name"] for p in (await app.ask("list_prompts", "deleted=true")).json()["items"]] == ["p"]
    assert (await app.ask("delete_prompt")).status == 404

    restored = await app.ask("restore_prompt")
    assert (restored.status, restored.json()["labels"]) == (200, {"latest": 2, "production": 1})
    assert (await app.get()).json() | {"etag": ""} == before | {"etag": ""}
    assert (await app.ask("restore_prompt")).status == 409


async def test_saving_over_a_deleted_prompt_makes_its_next_version(app: App) -> None:
    await two_versions(app)
    await app.ask("delete_prompt")

    assert (await app.save(template="again")).json()["version"] == 3
    assert (await app.get("version=1")).json()["template"] == "Hello {who}"


async def test_what_is_not_there_is_a_404_for_every_change(app: App) -> None:
    for route in ("delete_prompt", "restore_prompt", "get_prompt_history", "list_prompt_versions"):
        assert (await app.ask(route)).status == 404
    assert (await app.ask("list_prompt_labels")).status == (await app.ask("diff_prompt")).status == 404
    assert (await app.label("production", 1)).status == 404


async def test_the_list_can_be_narrowed_to_a_tag(app: App) -> None:
    await app.save("a", tags=["x", "y"])
    await app.save("b", tags=["y"])
    await app.save("c")

    listed = (await app.ask("list_prompts", "tag=y")).json()["items"]

    assert [(prompt["name"], prompt["tags"]) for prompt in listed] == [("a", ["x", "y"]), ("b", ["y"])]


async def test_a_tenant_without_a_prompt_reads_the_global_one_and_is_told(app: App) -> None:
    await app.save_global()
    everybodys = (await app.get()).json()
    await app.save()
    own = (await app.get()).json()

    assert (everybodys["source"], everybodys["template"]) == ("global", "Hello from all {who}")
    assert (own["source"], own["template"]) == ("tenant", "Hello {who}")
    assert (await app.get("scope=global")).json() == everybodys
    await app.ask("delete_prompt")
    assert (await app.get()).json()["source"] == "global"
    assert (await app.get("scope=tenant")).status == 404


async def test_a_tenant_can_do_without_the_global_prompts(app: App) -> None:
    await app.save_global()
    app.fallback.on = False

    assert (await app.get()).status == 404
    assert (await app.get("scope=global")).status == 403
    assert (await app.ask("list_prompts", "scope=global")).status == 403
    got = (await app.batch("batch_get_prompts", {"names": ["p"]})).json()["results"]
    assert got[0]["failure"]["status"] == 404


@pytest.mark.parametrize("caller", ["editor", "user", "stranger"])
async def test_only_the_administrator_changes_global_prompts(app: App, caller: str) -> None:
    await app.save_global()
    headers = getattr(app, caller)
    before = (await app.get("scope=global", headers=app.admin)).json()
    saving = Call.of({"template": "mine"}, headers=headers, name="p")
    attempts = [
        await app.client.call("save_prompt", Call(saving.path, "scope=global", headers, saving.body)),
        await app.ask("delete_prompt", "scope=global", headers=headers),
        await app.ask("restore_prompt", "scope=global", headers=headers),
        await app.ask("remove_prompt_label", "scope=global", headers=headers, label="x"),
    ]

    assert [answer.status for answer in attempts] == [403] * 4
    assert (await app.get("scope=global", headers=app.admin)).json() == before


async def test_the_administrator_who_names_no_tenant_has_the_global_prompts_alone(app: App) -> None:
    await app.save_global()

    assert (await app.get(headers=app.admin)).json()["source"] == "global"
    listed = (await app.ask("list_prompts", "scope=global", headers=app.admin)).json()["items"]
    assert [(prompt["name"], prompt["source"]) for prompt in listed] == [("p", "global")]
    without_scope = await app.ask("delete_prompt", headers=app.admin)
    assert (without_scope.status, list(without_scope.json()["detail"]["fields"])) == (
        422,
        ["header.x-tenant-id"],
    )
    acting = app.admin | {"x-tenant-id": "acme"}
    assert (await app.ask("delete_prompt", "scope=global", headers=acting)).status == 204


async def test_the_labels_of_a_prompt_are_the_same_wherever_it_is_shown(app: App) -> None:
    await two_versions(app)
    await app.label("production", 1)
    wanted = {"latest": 3, "production": 1}

    saved = (await app.save(template="third")).json()["labels"]
    answers = [
        await app.get(),
        await app.get("version=1"),
        await app.get("label=production"),
        await app.ask("get_prompt_version", version="2"),
        await app.ask("list_prompt_labels"),
    ]
    listed = (await app.ask("list_prompts")).json()["items"][0]["labels"]
    many = (await app.batch("batch_get_prompts", {"names": ["p"]})).json()["results"][0]["prompt"]["labels"]
    await app.ask("delete_prompt")
    restored = (await app.ask("restore_prompt")).json()["labels"]

    assert [saved, listed, many, restored] == [wanted] * 4
    assert [answer.json()["labels"] for answer in answers] == [wanted] * 5


@pytest.mark.parametrize("label", ["LATEST", "Latest", "Production", "stagING"])
async def test_a_label_is_lower_case_and_the_refusal_says_so(app: App, label: str) -> None:
    await two_versions(app)

    refused = await app.label(label, 1)

    assert (refused.status, list(refused.json()["detail"]["fields"])) == (422, ["path.label"])
    assert f"lower case: '{label.lower()}'" in refused.json()["message"]
    assert (await app.get(f"label={label}")).status == 404


async def test_a_label_in_capitals_of_an_older_release_can_be_read_and_taken_away(
    app: App, cosmos: MemoryCosmos
) -> None:
    await two_versions(app)
    old = Patch((PatchOperation("set", "/labels", {"Production": 1}),))
    await cosmos.container("prompts").patch(("acme",), "head:p", old)

    assert (await app.get("label=Production")).json()["version"] == 1
    assert (await app.ask("remove_prompt_label", label="Production")).status == 204
    assert (await app.get("label=Production&fresh=true")).status == 404
