"""A folder goes into a deployment and comes out of another as it was; each file is told of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tenantry_client.errors import (
    CredentialError,
    OutOfReachError,
    OverlongAnswerError,
    TenantryError,
    UnexpectedAnswerError,
)
from tenantry_client.http.credentials import FixedKey
from tenantry_client.http.service import HttpService, Reply
from tenantry_client.prompts.deployment import TIMES, Deployment, FoundPrompts
from tenantry_client.prompts.reports import FileOutcome, FileReport
from tenantry_client.prompts.transfer import ImportOptions, export_prompts, import_prompts
from tests.support.fakes import Call
from tests.support.virtual_time import simulate
from tests.unit_tests.tenantry_client.scripted import ScriptedSender, answer
from tests.unit_tests.tenantry_client.wire import wired

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.unit_tests.tenantry_client.wire import Wire


def ignored(_done: int, _total: int) -> None:
    """Nobody watches."""


def outcomes(reports: list[FileReport]) -> dict[str, str]:
    return {report.file: report.outcome.value for report in reports}


def everything_below(folder: Path) -> list[Path]:
    return list(folder.rglob("*"))


def fill(folder: Path, count: int = 3) -> dict[str, bytes]:
    folder.mkdir()
    for number in range(count):
        (folder / f"p{number:03}.md").write_text(
            f"---\nname: p{number:03}\ntags:\n- t\n---\nHello {{who}} {number}\n"
        )
    (folder / "chat.yaml").write_text("name: chat\ntemplate:\n- role: system\n  content: Be {tone}\n")
    return {file.name: file.read_bytes() for file in folder.iterdir()}


async def test_what_is_imported_is_exported_as_it_was(tmp_path: Path) -> None:
    files = fill(tmp_path / "in")
    async with wired() as wire:
        imported = await import_prompts(wire.deployment(), tmp_path / "in", ignored)
        exported = await export_prompts(wire.deployment(), tmp_path / "out", ignored)
        again = await export_prompts(wire.deployment(), tmp_path / "out", ignored)
        unchanged = await import_prompts(wire.deployment(), tmp_path / "out", ignored)

    assert set(outcomes(imported).values()) == {"created"}
    assert outcomes(exported) == dict.fromkeys(sorted(files), "written")
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == files
    assert set(outcomes(again).values()) == set(outcomes(unchanged).values()) == {"unchanged"}


@pytest.mark.slow
async def test_requests_grow_with_hundreds_not_with_files(tmp_path: Path) -> None:
    fill(tmp_path / "in", 249)
    seen: list[tuple[int, int]] = []
    async with wired() as wire:
        await import_prompts(
            wire.deployment(), tmp_path / "in", lambda done, total: seen.append((done, total))
        )
        for_import = len(wire.requests)
        await export_prompts(wire.deployment(), tmp_path / "out", ignored)

    assert (for_import, len(wire.requests) - for_import) == (6, 6)
    assert seen == [(0, 250), (100, 250), (200, 250), (250, 250)]
    assert len(list((tmp_path / "out").iterdir())) == 250


async def test_only_what_differs_is_saved_and_with_its_reason(tmp_path: Path) -> None:
    fill(tmp_path / "in")
    async with wired() as wire:
        await import_prompts(wire.deployment(), tmp_path / "in", ignored)
        (tmp_path / "in" / "p001.md").write_text("---\n---\nshorter\n")
        planned = await import_prompts(
            wire.deployment(), tmp_path / "in", ignored, ImportOptions(dry_run=True)
        )
        done = await import_prompts(
            wire.deployment(), tmp_path / "in", ignored, ImportOptions(reason="shorter is better")
        )
        history = await wire.app.must("get_prompt_history", Call({"name": "p001"}, headers=wire.key))

    assert outcomes(planned) == outcomes(done)
    assert outcomes(done) == dict.fromkeys(("chat.yaml", "p000.md", "p002.md"), "unchanged") | {
        "p001.md": "updated"
    }
    assert [(e["version"], e["reason"]) for e in history.json()["items"]] == [
        (2, "shorter is better"),
        (1, None),
    ]


async def test_each_bad_file_is_told_and_stops_no_other(tmp_path: Path) -> None:
    fill(tmp_path / "in")
    (tmp_path / "in" / "bad.md").write_text("---\n---\n{a.b}\n")
    (tmp_path / "in" / "twice.md").write_text("---\nname: p000\n---\nagain\n")
    (tmp_path / "in" / "README.md").write_text("# Ours\n")
    async with wired() as wire:
        reports = await import_prompts(wire.deployment(), tmp_path / "in", ignored)

    told = {report.file: report for report in reports if report.outcome is not FileOutcome.CREATED}
    assert {name: report.outcome for name, report in told.items()} == {
        "bad.md": FileOutcome.FAILED,
        "p000.md": FileOutcome.FAILED,
        "twice.md": FileOutcome.FAILED,
        "README.md": FileOutcome.SKIPPED,
    }
    assert told["twice.md"].detail == "'p000' is in p000.md too"
    assert told["p000.md"].detail == "'p000' is in twice.md too"
    assert len(reports) == 7


async def test_what_an_export_left_beside_a_prompt_that_became_a_chat_is_not_saved_over_it(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "in", 1)
    chat = [{"role": "system", "content": "now a chat"}]
    async with wired() as wire:
        await import_prompts(wire.deployment(), tmp_path / "in", ignored)
        await wire.app.must("save_prompt", Call.of({"template": chat}, headers=wire.key, name="p000"))
        await export_prompts(wire.deployment(), tmp_path / "in", ignored)
        reports = await import_prompts(wire.deployment(), tmp_path / "in", ignored)
        shown = await wire.app.must("get_prompt", Call({"name": "p000"}, headers=wire.key))

    assert outcomes(reports) == {"chat.yaml": "unchanged", "p000.md": "failed", "p000.yaml": "failed"}
    assert shown.json()["template"] == chat


async def test_a_boolean_is_not_the_number_that_it_equals(tmp_path: Path) -> None:
    fill(tmp_path / "in", 0)
    file = tmp_path / "in" / "p.md"
    async with wired() as wire:
        for value, outcome in (
            ("1", "created"),
            ("true", "updated"),
            ("true", "unchanged"),
            ("1.0", "updated"),
            ("1", "unchanged"),
        ):
            file.write_text(f"---\nconfig: {{stops: [{{now: {value}}}]}}\n---\nx\n")
            reports = await import_prompts(wire.deployment(), tmp_path / "in", ignored)
            assert outcomes(reports)["p.md"] == outcome


async def test_a_prompt_that_somebody_changes_meanwhile_is_not_saved_over(tmp_path: Path) -> None:
    fill(tmp_path / "in")
    async with wired() as wire:
        deployment = wire.deployment()
        await import_prompts(deployment, tmp_path / "in", ignored)
        (tmp_path / "in" / "p000.md").write_text("---\n---\nmine\n")
        got = deployment.get

        async def slow_get(names: Sequence[str]) -> FoundPrompts:
            found = await got(names)
            call = Call.of({"template": "theirs"}, headers=wire.key, name="p000")
            await wire.app.must("save_prompt", call)
            return found

        deployment.get = slow_get  # type: ignore[method-assign]  # somebody else's change in between
        reports = await import_prompts(deployment, tmp_path / "in", ignored)
        shown = await wire.app.must("get_prompt", Call({"name": "p000"}, headers=wire.key))

    failed = next(report for report in reports if report.file == "p000.md")
    assert (failed.outcome, "changed meanwhile" in failed.detail) == (FileOutcome.FAILED, True)
    assert shown.json()["template"] == "theirs"


async def test_a_tenants_import_does_not_take_the_global_prompt_for_its_own(tmp_path: Path) -> None:
    fill(tmp_path / "in", 0)
    async with wired() as wire:
        everybodys = await import_prompts(wire.deployment("global"), tmp_path / "in", ignored)
        own = await import_prompts(wire.deployment(), tmp_path / "in", ignored)
        exported = await export_prompts(wire.deployment("global"), tmp_path / "out", ignored)

    assert outcomes(everybodys) == outcomes(own) == {"chat.yaml": "created"}
    assert outcomes(exported) == {"chat.yaml": "written"}


def test_a_busy_deployment_is_asked_again_and_a_batch_is_saved_once(tmp_path: Path) -> None:
    fill(tmp_path / "in")
    busy = answer(503, retry_after="2")

    async def run() -> None:
        async with wired() as wire:
            wire.script = [busy, busy]
            reports = await import_prompts(wire.deployment(), tmp_path / "in", ignored)
            versions = await wire.app.must("get_prompt", Call({"name": "p000"}, headers=wire.key))
            assert set(outcomes(reports).values()) == {"created"}
            assert versions.json()["version"] == 1

            wire.script = [busy] * 3
            with pytest.raises(OutOfReachError, match="503"):
                await wire.deployment().names()

    simulate(run())


def talking_to(*script: Reply | Exception | Callable[[], Reply]) -> Deployment:
    return Deployment(HttpService("http://elsewhere", FixedKey("k"), ScriptedSender([*script]), TIMES))


async def test_a_wrong_key_is_the_deployments_own_words(tmp_path: Path) -> None:
    fill(tmp_path / "in")
    async with wired() as wire:
        deployment = Deployment(HttpService("http://app", FixedKey("junk"), wire, TIMES))
        with pytest.raises(CredentialError, match="The API key"):
            await deployment.names()
        with pytest.raises(CredentialError, match="The API key"):
            await import_prompts(deployment, tmp_path / "in", ignored)


def test_a_deployment_that_is_not_there_is_told_with_the_reason() -> None:
    with pytest.raises(OutOfReachError, match="connection refused"):
        simulate(talking_to(ConnectionError("connection refused")).names())


@pytest.mark.slow
async def test_a_page_that_no_deployment_answers_is_refused() -> None:
    for page in (Reply(418, {}, b"<h1>a teapot</h1>"), Reply(200, {}, b"<h1>Welcome</h1>")):
        with pytest.raises(UnexpectedAnswerError):
            await talking_to(page).names()
    endless = answer(200, {"items": [{"name": "a"}], "next_cursor": "more"})
    with pytest.raises(UnexpectedAnswerError, match="more than 2000 pages"):
        await talking_to(endless).names()
    with pytest.raises(UnexpectedAnswerError, match="another number"):
        await talking_to(answer(200, {"results": []})).get(["a"])
    with pytest.raises(UnexpectedAnswerError, match="another number"):
        await talking_to(answer(200, {"results": []})).save([b"{}"])


def remote(name: str, **other: object) -> dict[str, object]:
    fields: dict[str, object] = {
        "name": name,
        "template": "x",
        "description": None,
        "tags": [],
        "config": {},
        "declared_variables": {},
        "examples": [],
        "source": "tenant",
        "etag": "1",
        "version": 1,
        "labels": {"latest": 1},
    }
    return fields | other


async def test_a_hostile_or_newer_deployment_makes_no_path_and_stops_no_other(tmp_path: Path) -> None:
    names = ["../escaped", "A", "a", "newer", "odd", "other"]
    prompts = [remote(name) for name in names[:3]]
    prompts += [remote("newer", template={"parts": []}), remote("odd", more="fields"), remote("another")]
    page = answer(200, {"items": [{"name": name} for name in names], "next_cursor": None})
    deployment = talking_to(page, answer(200, {"results": [{"prompt": one} for one in prompts]}))

    reports = await export_prompts(deployment, tmp_path / "out", ignored)

    failed, written = FileOutcome.FAILED, FileOutcome.WRITTEN
    assert [report.outcome for report in reports] == [failed, written, failed, failed, written, failed]
    assert "template" in reports[3].detail
    assert sorted(path.name for path in everything_below(tmp_path)) == ["A.md", "odd.md", "out"]


def limit_answers(wire: Wire, at_once: int, broken: str = "") -> Deployment:
    """Return a deployment whose answers have room for so many prompts, and never for one of them."""

    def limit(path: str, reply: Reply) -> Reply:
        if not path.endswith("batch-get"):
            return reply
        results = json.loads(reply.body)["results"]
        for place, result in enumerate(results):
            if place >= at_once or result["name"] == broken:
                failure = {"error": "AnswerFullError", "message": "no room in this answer", "status": 413}
                result |= {"prompt": None, "failure": failure}
        return answer(200, {"results": results})

    wire.change = limit
    return wire.deployment()


@pytest.mark.parametrize("at_once", [1, 2, 3])
async def test_prompts_that_an_answer_has_no_room_for_are_asked_for_again(
    tmp_path: Path, at_once: int
) -> None:
    fill(tmp_path / "in", 7)
    async with wired() as wire:
        await import_prompts(wire.deployment(), tmp_path / "in", ignored)
        unchanged = await import_prompts(limit_answers(wire, at_once), tmp_path / "in", ignored)
        exported = await export_prompts(limit_answers(wire, at_once), tmp_path / "out", ignored)

    assert set(outcomes(unchanged).values()) == {"unchanged"}
    assert set(outcomes(exported).values()) == {"written"}
    assert len(exported) == 8


async def test_a_prompt_that_is_there_but_not_answered_is_neither_saved_over_nor_left_out(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "in")
    async with wired() as wire:
        await import_prompts(wire.deployment(), tmp_path / "in", ignored)
        (tmp_path / "in" / "p001.md").write_text("---\n---\nmine\n")
        imported = await import_prompts(limit_answers(wire, 9, "p001"), tmp_path / "in", ignored)
        exported = await export_prompts(wire.deployment(), tmp_path / "out", ignored)
        wire.change = lambda _, reply: reply
        shown = await wire.app.must("get_prompt", Call({"name": "p001"}, headers=wire.key))

    assert outcomes(imported)["p001.md"] == outcomes(exported)["p001"] == "failed"
    assert sorted(outcomes(imported).values()) == ["failed", "unchanged", "unchanged", "unchanged"]
    assert shown.json()["version"] == 1


def read_less(_: str, reply: Reply) -> Reply:
    if len(reply.body) > 1_000:
        raise OverlongAnswerError("The answer has more than 1000 bytes")
    return reply


async def test_an_answer_that_is_too_large_is_asked_for_in_parts(tmp_path: Path) -> None:
    fill(tmp_path / "in")
    async with wired() as wire:
        await import_prompts(wire.deployment(), tmp_path / "in", ignored)
        wire.change = read_less
        found = await wire.deployment().get(["chat", "p000", "p001", "p002"])

    assert sorted(found.prompts) == ["chat", "p000", "p001", "p002"]
    assert found.failures == {}


async def test_a_label_goes_to_what_each_file_says(tmp_path: Path) -> None:
    fill(tmp_path / "in")
    release = ImportOptions(label="production", reason="release 12")

    async def production(wire: Wire, name: str) -> object:
        call = Call({"name": name}, "label=production", headers=wire.key)
        return (await wire.app.must("get_prompt", call)).json()["version"]

    async with wired() as wire:
        deployment = wire.deployment()
        await import_prompts(deployment, tmp_path / "in", ignored)
        (tmp_path / "in" / "p001.md").write_text("---\n---\nshorter\n")
        planned = await import_prompts(
            deployment, tmp_path / "in", ignored, ImportOptions(label="production", dry_run=True)
        )
        done = await import_prompts(deployment, tmp_path / "in", ignored, release)
        again = await import_prompts(deployment, tmp_path / "in", ignored, release)
        versions = [await production(wire, name) for name in ("chat", "p000", "p001")]
        history = await wire.app.must("get_prompt_history", Call({"name": "p001"}, headers=wire.key))

    expected = dict.fromkeys(("chat.yaml", "p000.md", "p002.md"), "labelled") | {"p001.md": "updated"}
    assert outcomes(planned) == outcomes(done) == expected
    assert {report.detail for report in done} == {"version 1 as production", "version 2 as production"}
    assert set(outcomes(again).values()) == {"unchanged"}
    assert versions == [1, 1, 2]
    assert history.json()["items"][0]["reason"] == "release 12"


async def test_a_label_that_is_refused_is_told_of_each_file(tmp_path: Path) -> None:
    fill(tmp_path / "in", 1)
    async with wired() as wire:
        reports = await import_prompts(
            wire.deployment(), tmp_path / "in", ignored, ImportOptions(label="latest")
        )

    assert set(outcomes(reports).values()) == {"failed"}
    assert all(report.detail.startswith("version 1 is there, but not as latest") for report in reports)


async def test_what_was_done_before_a_deployment_went_away_is_told(tmp_path: Path) -> None:
    fill(tmp_path / "in", 150)
    async with wired() as wire:
        deployment = wire.deployment()
        save = deployment.save
        saved = 0

        async def save_once(items: Sequence[bytes]) -> object:
            nonlocal saved
            saved += 1
            if saved > 1:
                raise TenantryError("it went away")
            return await save(items)

        deployment.save = save_once  # type: ignore[method-assign, assignment]  # it goes away after a part
        reports = await import_prompts(deployment, tmp_path / "in", ignored)

    ended = list(outcomes(reports).values())
    assert (ended.count("created"), ended.count("failed"), len(ended)) == (100, 51, 151)


async def test_a_checkout_with_other_line_ends_makes_no_new_version(tmp_path: Path) -> None:
    files = fill(tmp_path / "in")
    async with wired() as wire:
        await import_prompts(wire.deployment(), tmp_path / "in", ignored)
        for newline in (b"\r\n", b"\r"):
            for name, content in files.items():
                (tmp_path / "in" / name).write_bytes(content.replace(b"\n", newline))
            imported = await import_prompts(wire.deployment(), tmp_path / "in", ignored)
            exported = await export_prompts(wire.deployment(), tmp_path / "in", ignored)
            assert set(outcomes(imported).values()) == set(outcomes(exported).values()) == {"unchanged"}


async def test_files_lie_in_folders_below_and_stay_where_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "support" / "mail").mkdir(parents=True)
    (folder / "support" / "mail" / "greeting.markdown").write_text("---\n---\nHello\n")
    (folder / "support" / "Chat.YML").write_text("name: chat\ntemplate: [{role: user, content: Hi}]\n")
    async with wired() as wire:
        imported = await import_prompts(wire.deployment(), folder, ignored)
        await wire.app.must(
            "save_prompt", Call.of({"template": "Good day"}, headers=wire.key, name="greeting")
        )
        exported = await export_prompts(wire.deployment(), folder, ignored)

    assert outcomes(imported) == {
        "support/Chat.YML": "created",
        "support/mail/greeting.markdown": "created",
    }
    assert outcomes(exported) == {
        "support/Chat.YML": "unchanged",
        "support/mail/greeting.markdown": "written",
    }
    assert (folder / "support" / "mail" / "greeting.markdown").read_text().endswith("---\nGood day\n")


async def test_an_export_writes_over_no_file_that_is_not_the_prompts_own(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    before = {
        "README.md": "# Ours\n",
        "broken.md": "---\nname: [\n---\nx\n",
        "other.md": "---\nname: owner\n---\nx\n",
    }
    for name, text in before.items():
        (folder / name).write_text(text)
    async with wired() as wire:
        for name in ("README", "broken", "other", "fine"):
            await wire.app.must("save_prompt", Call.of({"template": "new"}, headers=wire.key, name=name))
        reports = await export_prompts(wire.deployment(), folder, ignored)

    assert outcomes(reports) == {
        "README": "failed",
        "broken": "failed",
        "fine.md": "written",
        "other": "failed",
    }
    assert {name: (folder / name).read_text() for name in before} == before
