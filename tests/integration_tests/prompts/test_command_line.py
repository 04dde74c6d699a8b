"""The command `tenantry` as its users run it, against the real platform."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration_tests.platform import Platform


def run(platform: Platform, key: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own module
        [sys.executable, "-W", "error", "-m", "tenantry_client", "prompts", *words],
        env={"TENANTRY_KEY": key, "TENANTRY_URL": platform.addresses["app"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_folder_goes_round_through_two_tenants_and_each_file_is_told(
    platform: Platform, tmp_path: Path
) -> None:
    here, there = (platform.caller(platform.new_tenant()) for _ in range(2))
    folder, copy = tmp_path / "prompts", tmp_path / "copy"
    folder.mkdir()
    (folder / "greeting.md").write_text("---\nname: greeting\ntags:\n- demo\n---\nHello {who}!\n")
    (folder / "chat.yaml").write_text(
        "name: chat\nconfig:\n  model: gpt-4o\n"
        "template:\n- role: system\n  content: Be {tone}.\n- placeholder: history\n"
    )

    imported = run(platform, here.key, "import", folder, "--label", "production", "--reason", "release 12")
    exported = run(platform, here.key, "export", copy)
    moved = run(platform, there.key, "import", copy)
    again = run(platform, there.key, "import", copy)

    assert [done.returncode for done in (imported, exported, moved, again)] == [0] * 4, imported.stderr
    assert imported.stdout.split("\n")[-2] == "2 created"
    assert "greeting.md" in imported.stdout
    assert {f.name: f.read_bytes() for f in copy.iterdir()} == {
        f.name: f.read_bytes() for f in folder.iterdir()
    }
    assert again.stdout.split("\n")[-2] == "2 unchanged"
    rendered = there.must("POST", "/api/v1/prompts/greeting/render", {"variables": {"who": "Ada"}})
    assert rendered["text"] == "Hello Ada!"
    labelled = here.must("GET", "/api/v1/prompts/greeting?label=production")
    assert (labelled["version"], labelled["reason"]) == (1, "release 12")


def test_a_bad_file_or_a_wrong_key_is_an_exit_code(platform: Platform, tmp_path: Path) -> None:
    caller = platform.caller(platform.new_tenant())
    (tmp_path / "good.md").write_text("---\n---\nfine\n")
    (tmp_path / "bad.md").write_text("---\nname: ../bad\n---\nx\n")

    planned = run(platform, caller.key, "import", tmp_path, "--dry-run")
    some = run(platform, caller.key, "import", tmp_path)
    none = run(platform, "tk.junk", "import", tmp_path)

    assert (some.returncode, some.stdout.split("\n")[-2]) == (1, "1 created, 1 failed")
    assert (planned.returncode, planned.stdout.split("\n")[-2]) == (1, "1 created, 1 failed")
    assert (none.returncode, "The API key" in none.stderr) == (2, True)
    assert [p["name"] for p in caller.must("GET", "/api/v1/prompts")["items"]] == ["good"]
