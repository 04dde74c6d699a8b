"""Before anything is started: what is missing or taken, whose settings win, and who may read the folder."""

from __future__ import annotations

import json
import shutil
import socket
import stat
import subprocess
from typing import TYPE_CHECKING

from local.__main__ import main
from local.supervisor.lock import locked
from local.supervisor.options import ROOT
from local.supervisor.own_settings import OwnSettings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_all_busy_ports_are_named_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as first, socket.socket() as second:
        for taken in (first, second):
            taken.bind(("127.0.0.1", 0))
            taken.listen()
        ports = [str(taken.getsockname()[1]) for taken in (first, second)]
        arguments = ["--only", "cosmos,llm", "--cosmos-port", ports[0], "--llm-port", ports[1]]

        assert main([*arguments, "--data-dir", str(tmp_path)]) == 2

    said = capsys.readouterr().err.splitlines()
    assert [line.split(" is ")[0] for line in said] == [
        f"local: cosmos: port {ports[0]}",
        f"local: llm: port {ports[1]}",
    ]
    assert [line.rpartition("(")[2] for line in said] == ["--cosmos-port)", "--llm-port)"]


GIVEN = {
    "AZURE_OPENAI_ENDPOINT": "http://localhost:1",
    "AZURE_OPENAI_API_KEY": "local",
    "COSMOS_ENDPOINT": "http://c",
}


def own(folder: Path, environment: dict[str, str], **files: dict[str, str]) -> OwnSettings:
    for name, values in files.items():
        (folder / f"{name.replace('_', '.')}.json").write_text(json.dumps({"Values": values}))
    return OwnSettings.read(folder, environment)


def test_a_model_of_the_environments_wins_over_the_stand_in_and_is_told(tmp_path: Path) -> None:
    settings, lines = own(tmp_path, {"AZURE_OPENAI_ENDPOINT": "http://ollama:11434/"}).complete(GIVEN)

    assert settings == {"COSMOS_ENDPOINT": "http://c"}
    assert lines == [
        "the model is http://ollama:11434 (AZURE_OPENAI_ENDPOINT of the environment), not the stand-in"
    ]


def test_a_model_of_local_settings_wins_unless_it_is_the_samples(tmp_path: Path) -> None:
    sample = {"AZURE_OPENAI_ENDPOINT": "http://localhost:8082"}
    copied = own(tmp_path, {}, local_settings=sample, local_settings_sample=sample)
    assert (copied.model_endpoint, copied.complete(GIVEN)) == (None, (GIVEN, []))

    mine = own(tmp_path, {}, local_settings={"AZURE_OPENAI_ENDPOINT": "https://a.example"})
    assert mine.model_endpoint == "https://a.example"
    assert mine.complete(GIVEN)[1][0].endswith("of local.settings.json), not the stand-in")


def test_what_the_local_parts_take_over_is_told_by_name_and_without_its_value(tmp_path: Path) -> None:
    without = "the stand-in answers without AZURE_OPENAI_ENDPOINT"
    environment = {"AZURE_OPENAI_API_KEY": "secret", "COSMOS_ENDPOINT": "https://ours", "OTHER": "x"}
    settings, lines = own(tmp_path, environment).complete(GIVEN)

    assert settings == GIVEN
    assert lines == [
        f"AZURE_OPENAI_API_KEY of the environment is not used: {without}",
        "COSMOS_ENDPOINT of the environment is not used: the local cosmos runs; --only can leave it out",
    ]


def test_a_settings_file_that_is_broken_is_the_hosts_to_tell_of(tmp_path: Path) -> None:
    (tmp_path / "local.settings.json").write_text("{")
    assert OwnSettings.read(tmp_path, {}).complete(GIVEN) == (GIVEN, [])


async def test_the_data_folder_is_private_also_where_an_older_run_made_it(tmp_path: Path) -> None:
    old, new, theirs = tmp_path / "old", tmp_path / "new", tmp_path / "theirs"
    for folder in (old, theirs):
        folder.mkdir(mode=0o755)
    (old / "lock").touch()
    (theirs / "something").touch()
    for folder in (old, new, theirs):
        async with locked(folder):
            pass

    modes = [stat.S_IMODE(folder.stat().st_mode) for folder in (old, new, theirs)]
    assert modes == [0o700, 0o700, 0o755]


def test_make_run_passes_its_options_on() -> None:
    told = subprocess.run(
        ["make", "--dry-run", "run", "ARGS=--port 7072"],  # noqa: S607  # whatever make is there
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "-m local.tour --port 7072\n" in told.stdout


def test_npm_is_looked_for_before_anything_is_installed(tmp_path: Path) -> None:
    """In a copy of the repository's set-up, with a Node and nothing else that it installs with."""
    setup, tools = tmp_path / "local" / "setup", tmp_path / "bin"
    setup.mkdir(parents=True)
    tools.mkdir()
    (tmp_path / "local" / "azurite").mkdir()
    shutil.copy(ROOT / "local" / "setup" / "prepare.sh", setup)
    (tools / "node").write_text("#!/bin/sh\necho v22.0.0\n")
    (tools / "node").chmod(0o755)
    for name in ("dirname", "mkdir", "sed", "cat", "cksum", "sh"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)

    done = subprocess.run(  # noqa: S603  # our own script
        ["/bin/sh", str(setup / "prepare.sh")],
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr.startswith("setup: npm is missing.")
    assert "installing" not in done.stderr
