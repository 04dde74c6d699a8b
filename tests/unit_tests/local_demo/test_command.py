"""The demo's command line, and what it tells the stand-in model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest
from rich.console import Console

from local.demo.__main__ import Progress, main
from local.demo.filling import Step
from local.demo.stand_in import StandIn

if TYPE_CHECKING:
    from pathlib import Path


def test_a_model_that_is_paid_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://own.openai.azure.com")

    assert main(["--data-dir", str(tmp_path / "data")]) == 1
    assert "AZURE_OPENAI_ENDPOINT names a model that is paid" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("count", ["0", "41", "many"])
def test_a_number_of_tenants_that_there_cannot_be_is_refused(
    count: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--tenants", count])
    assert "--tenants" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_to_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    assert main(["--data-dir", str(tmp_path / "file" / "data")]) == 1
    assert "cannot be written to" in capsys.readouterr().err


def test_a_step_tells_how_many_there_are_and_how_many_are_new(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(Console(width=100))
    progress.show(Step("prompts", 1_200, 1_100))
    progress.show(Step("bots", 3, 0))

    first, second = capsys.readouterr().out.splitlines()
    assert "1,200 prompts (1,100 new" in first
    assert "3 bots (all there" in second


def test_the_stand_in_is_told_what_to_say_and_what_to_hold() -> None:
    told: dict[str, object] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        told[request.url.path] = json.loads(request.content)
        return httpx.Response(201, json={})

    with httpx.Client(base_url="http://model", transport=httpx.MockTransport(answer)) as client:
        stand_in = StandIn(client)
        stand_in.say("Why?", ["Because.", "So."])
        stand_in.hold("Case 1.")

    assert told["/_local/answers"] == {
        "contains": "Why?",
        "answers": [{"content": "Because."}, {"content": "So."}],
    }
    assert told["/_local/faults"] == {"contains": "Case 1.", "delay_ms": 180_000, "count": 1}
