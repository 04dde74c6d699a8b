"""The command `tenantry`: its words, its exit codes, and that it prints what it is given harmlessly."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tenantry_client.cli.main import main
from tenantry_client.cli.output import print_reports
from tenantry_client.prompts.reports import FileOutcome, FileReport
from tenantry_client.version import VERSION

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = ("--url", "http://127.0.0.1:1", "--key", "k")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TENANTRY_KEY", "TENANTRY_URL", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "words",
    [
        ["import", "missing-folder", *NOBODY],
        ["export", "out", "--url", "nowhere", "--key", "k"],
        ["export", "out", "--url", "http://a:b:c", "--key", "k"],
        ["export", "out", "--url", "http://127.0.0.1:1", "--key", "a b"],
    ],
)
def test_the_command_ends_with_2_where_nothing_can_be_done(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prompts", *words]) == 2
    assert capsys.readouterr().err.strip().startswith("failed: ")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["prompts"],
        ["prompts", "import"],
        ["prompts", "export", "out", *NOBODY, "--global", "--tenant", "acme"],
        ["prompts", "import", "in", *NOBODY, "--label", "not a label"],
        ["prompts", "import", "in", *NOBODY, "--reason", "x" * 501],
        ["prompts", "import", "in", *NOBODY, "--tenant", "a\nb: c"],
        ["prompts", "export", "out", *NOBODY, "--dry-run"],
    ],
)
def test_words_that_mean_nothing_end_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "usage: tenantry" in capsys.readouterr().err


def test_the_command_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"tenantry {VERSION}\n")


def test_the_command_tells_of_a_file_whose_name_is_no_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / os.fsdecode(b"p\xff.md")).write_text("---\n---\nx\n")

    assert main(["prompts", "import", str(tmp_path), *NOBODY]) == 1
    assert "p\\udcff.md" in capsys.readouterr().out


def test_the_command_wants_an_address_and_a_key(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert main(["prompts", "export", "out"]) == 2
    told = capsys.readouterr().err
    assert "TENANTRY_KEY" in told
    assert "TENANTRY_URL" in told

    monkeypatch.setenv("TENANTRY_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("TENANTRY_KEY", "Bearer k")
    assert main(["prompts", "import", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "no prompts\n"


def test_what_others_have_written_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    print_reports([FileReport("a\x1b[2Jb.md", FileOutcome.FAILED, "said\r\nby a\u202edeployment\ud800")])

    assert capsys.readouterr().out == (
        "a\\x1b[2Jb.md  failed     said\\r\\nby a\\u202edeployment\\ud800\n1 failed\n"
    )
