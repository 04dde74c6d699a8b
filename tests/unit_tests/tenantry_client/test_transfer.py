"""A folder goes into a deployment and comes out of another as it was; each file is told of."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import httpx
import pytest

from shared.prompts.models import PromptSource
from tenantry_client.cli.__main__ import main
from tenantry_client.cli.deployment import Deployment, RefusedError
from tenantry_client.cli.transfer import FileReport, Outcome, export_prompts, import_prompts
from tests.support.fakes import Call, FakeClock
from tests.unit_tests.tenantry_client.wire import wired

if TYPE_CHECKING:
    from pathlib import Path


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
        planned = await import_prompts(wire.deployment(), tmp_path / "in", ignored, dry_run=True)
        done = await import_prompts(wire.deployment(), tmp_path / "in", ignored, reason="shorter is better")
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

    told = {report.file: report for report in reports if report.outcome is not Outcome.CREATED}
    assert {name: report.outcome for name, report in told.items()} == {
        "bad.md": Outcome.FAILED,
        "p000.md": Outcome.FAILED,
        "twice.md": Outcome.FAILED,
        "README.md": Outcome.SKIPPED,
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
        for value, outcome in (("1", "created"), ("true", "updated"), ("true", "unchanged")):
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

        class Slow(Deployment):
            async def get(self, names: list[str]) -> list[object]:  # type: ignore[override]  # a narrower list
                found = await got(names)
                call = Call.of({"template": "theirs"}, headers=wire.key, name="p000")
                await wire.app.must("save_prompt", call)
                return [*found]

        slow = Slow(wire.client(wire.key), PromptSource.TENANT, wire.app.clock)
        reports = await import_prompts(slow, tmp_path / "in", ignored)
        shown = await wire.app.must("get_prompt", Call({"name": "p000"}, headers=wire.key))

    failed = next(report for report in reports if report.file == "p000.md")
    assert (failed.outcome, "changed meanwhile" in failed.detail) == (Outcome.FAILED, True)
    assert shown.json()["template"] == "theirs"


async def test_a_tenants_import_does_not_take_the_global_prompt_for_its_own(tmp_path: Path) -> None:
    fill(tmp_path / "in", 0)
    async with wired() as wire:
        everybodys = await import_prompts(wire.deployment(PromptSource.GLOBAL), tmp_path / "in", ignored)
        own = await import_prompts(wire.deployment(), tmp_path / "in", ignored)
        exported = await export_prompts(wire.deployment(PromptSource.GLOBAL), tmp_path / "out", ignored)

    assert outcomes(everybodys) == outcomes(own) == {"chat.yaml": "created"}
    assert outcomes(exported) == {"chat.yaml": "written"}


async def test_a_busy_deployment_is_asked_again_and_a_batch_is_saved_once(tmp_path: Path) -> None:
    fill(tmp_path / "in")
    async with wired() as wire:
        wire.busy = 2
        reports = await import_prompts(wire.deployment(), tmp_path / "in", ignored)
        versions = await wire.app.must("get_prompt", Call({"name": "p000"}, headers=wire.key))
        slept = wire.app.clock.slept

        wire.busy = 3
        with pytest.raises(RefusedError, match="503"):
            await wire.deployment().names()

    assert set(outcomes(reports).values()) == {"created"}
    assert versions.json()["version"] == 1
    assert all(wait >= 2 for wait in slept[:2])


async def test_a_wrong_key_is_the_deployments_own_words() -> None:
    async with wired() as wire:
        deployment = Deployment(wire.client({"authorization": "Bearer junk"}), PromptSource.TENANT)
        with pytest.raises(RefusedError, match="401: The API key"):
            await deployment.names()


async def test_a_deployment_that_is_not_there_is_told_with_the_reason() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)

    async with httpx.AsyncClient(base_url="http://nowhere", transport=httpx.MockTransport(refuse)) as client:
        with pytest.raises(RefusedError, match="connection refused"):
            await Deployment(client, PromptSource.TENANT, FakeClock()).names()


async def test_a_proxys_page_is_shown_as_it_is() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(418, text="<h1>a teapot</h1>"))
    async with httpx.AsyncClient(base_url="http://proxy", transport=transport) as client:
        with pytest.raises(RefusedError, match="418: <h1>a teapot</h1>"):
            await Deployment(client, PromptSource.TENANT, FakeClock()).names()


async def test_a_page_that_no_deployment_answers_is_refused() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text="<h1>Welcome</h1>"))
    async with httpx.AsyncClient(base_url="http://site", transport=transport) as client:
        with pytest.raises(RefusedError, match="no deployment"):
            await Deployment(client, PromptSource.TENANT, FakeClock()).names()


async def test_a_hostile_or_newer_deployment_makes_no_path_and_stops_no_other(tmp_path: Path) -> None:
    names = ["../escaped", "A", "a", "newer"]
    prompts: list[dict[str, object]] = [
        {
            "name": name,
            "template": "x",
            "description": "longer than here" * 200 if name == "newer" else None,
            "tags": [],
            "config": {},
            "declared_variables": {},
            "examples": [],
            "source": "tenant",
            "etag": "1",
        }
        for name in names
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/batch-get"):
            return httpx.Response(200, content=json.dumps({"results": [{"prompt": one} for one in prompts]}))
        items = [{"name": name} for name in names]
        return httpx.Response(200, content=json.dumps({"items": items, "next_cursor": None}))

    async with httpx.AsyncClient(base_url="http://evil", transport=httpx.MockTransport(answer)) as client:
        deployment = Deployment(client, PromptSource.TENANT, FakeClock())
        reports = await export_prompts(deployment, tmp_path / "out", ignored)

    told = [Outcome.FAILED, Outcome.WRITTEN, Outcome.FAILED, Outcome.FAILED]
    assert [report.outcome for report in reports] == told
    assert "description" in reports[3].detail
    assert sorted(path.name for path in everything_below(tmp_path)) == ["A.md", "out"]


@pytest.mark.parametrize(
    "words",
    [
        ["import", "missing-folder", "--url", "http://127.0.0.1:1", "--key", "k"],
        ["export", "out", "--url", "nowhere", "--key", "k"],
        ["export", "out", "--url", "http://a:b:c", "--key", "k"],
        ["export", "out", "--url", "http://127.0.0.1:1", "--key", "k", "--global", "--tenant", "acme"],
    ],
)
def test_the_program_ends_with_2_where_nothing_can_be_done(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err.strip().startswith("failed: ")


def test_the_program_tells_of_a_file_whose_name_is_no_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / os.fsdecode(b"p\xff.md")).write_text("---\n---\nx\n")

    assert main(["import", str(tmp_path), "--url", "http://127.0.0.1:1", "--key", "k"]) == 1
    assert "p\\udcff.md" in capsys.readouterr().out


def test_the_program_wants_a_key(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TENANTRY_KEY", raising=False)
    assert main(["export", "out", "--url", "http://127.0.0.1:1"]) == 2
    assert "TENANTRY_KEY" in capsys.readouterr().err
