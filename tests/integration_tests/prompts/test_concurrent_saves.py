"""Two processes save one prompt at once: versions have no gap, none is lost, and no conflict is silent."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from shared.prompts.models import PromptDraft
from shared.prompts.rendering import render_for_model
from tests.integration_tests.local_cosmos.endpoint import running_endpoint
from tests.integration_tests.prompts.writer import NAME, READY, prompts_at

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration_tests.local_cosmos.endpoint import Endpoint

WRITERS = 64
PROCESSES = 2


def answers_of_all(endpoint: Endpoint, *options: str) -> list[dict[str, Any]]:
    """Let both processes begin at once, and return what each of their writers was told."""
    with ExitStack() as stack:
        processes = []
        for number in range(PROCESSES):
            command = [sys.executable, "-m", "tests.integration_tests.prompts.writer", endpoint.address]
            process = stack.enter_context(
                subprocess.Popen(  # noqa: S603  # our own module
                    [*command, f"process{number}", str(WRITERS // PROCESSES), *options],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            assert process.stdout is not None
            assert process.stdout.readline().strip() == READY
            processes.append(process)
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        printed = [process.communicate()[0] for process in processes]
        assert [process.returncode for process in processes] == [0] * PROCESSES
    return [json.loads(line) for output in printed for line in output.splitlines()]


async def test_64_writers_over_two_processes_make_versions_1_to_64_and_each_is_the_one_it_was_told(
    tmp_path: Path,
) -> None:
    with running_endpoint(tmp_path) as endpoint:
        answers = answers_of_all(endpoint)
        async with prompts_at(endpoint.address) as prompts:
            latest = await prompts.read(NAME)
            versions = [(await prompts.read(NAME, n)).version for n in range(1, latest.version.version + 1)]

    told = {answer["version"]: answer["text"] for answer in answers if "version" in answer}
    assert {answer.get("refused") for answer in answers} <= {None, 409}
    assert [version.version for version in versions] == list(range(1, len(told) + 1))
    assert {version.version: version.content.template for version in versions} == told
    assert len(told) == WRITERS, "with turns and ten attempts each, nobody should have been sent away"


async def test_of_64_writers_who_have_seen_one_state_one_saves_and_63_are_told_412(tmp_path: Path) -> None:
    with running_endpoint(tmp_path) as endpoint:
        async with prompts_at(endpoint.address) as prompts:
            seen = (await prompts.save(NAME, PromptDraft(template="first"))).head.etag
            assert seen is not None
            answers = answers_of_all(endpoint, "--if-match", seen)
            latest = await prompts.read(NAME, fresh=True)

    assert sorted(str(answer.get("refused")) for answer in answers) == ["412"] * (WRITERS - 1) + ["None"]
    (winner,) = [answer for answer in answers if "version" in answer]
    assert (latest.version.version, latest.content.template) == (2, winner["text"])


async def test_prompts_survive_a_killed_store(tmp_path: Path) -> None:
    draft = PromptDraft(template="kept {x}", description="why", tags=("tag",))
    with running_endpoint(tmp_path) as endpoint:
        async with prompts_at(endpoint.address) as prompts:
            saved = await prompts.save(NAME, draft)
        endpoint.kill()
    with running_endpoint(tmp_path) as endpoint:
        async with prompts_at(endpoint.address) as prompts:
            assert (await prompts.read(NAME))[:3] == saved[:3]
            (message,) = render_for_model(await prompts.resolve(NAME), {"x": "y"}, "system")
            assert message.content == "kept y"
