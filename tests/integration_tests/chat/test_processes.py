"""Two processes continue one conversation: no turn is lost, overwritten or out of its order."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from functions.chat.bots.stored_models import StoredBotConfig
from functions.chat.conversations.reservation import RESERVATION_SECONDS
from functions.chat.conversations.turns import VisibleTurns
from tests.integration_tests.chat.instance import ASKED, BOT, READY, instance
from tests.integration_tests.local_cosmos.endpoint import running_endpoint
from tests.support.soak import SOAK, sized

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from functions.chat.conversations.stored_models import TurnItem
    from tests.integration_tests.local_cosmos.endpoint import Endpoint

pytestmark = sized(120)

MESSAGES = 24 if SOAK else 8
"""Of each process; together they stay within what a bot may be reminded of."""

REMEMBERING = StoredBotConfig(system_prompt="Count.")


@contextmanager
def started(endpoint: Endpoint, name: str, messages: int, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Start an instance that is ready to send its messages as soon as it is told to."""
    command = [sys.executable, "-m", "tests.integration_tests.chat.instance", endpoint.address, name]
    with subprocess.Popen(  # noqa: S603  # our own module
        [*command, str(messages), *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert read_line(process) == READY
        yield process


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


async def all_turns(endpoint: Endpoint) -> list[TurnItem]:
    async with instance(endpoint.address) as chat:
        head = await chat.conversation.read()
        return (await VisibleTurns(chat.conversation.place.own, head).read_after(0, head.turns)).turns


async def test_two_processes_lose_no_turn_and_each_turn_knows_all_before_it(tmp_path: Path) -> None:
    with running_endpoint(tmp_path) as endpoint:
        async with instance(endpoint.address) as chat:
            await chat.bots.save(BOT, REMEMBERING, None)
        with started(endpoint, "left", MESSAGES) as left, started(endpoint, "right", MESSAGES) as right:
            begin(left)
            begin(right)
            said = [process.communicate(timeout=60)[0] for process in (left, right)]
        turns = await all_turns(endpoint)

    assert (left.returncode, right.returncode) == (0, 0)
    replies = [json.loads(line) for text in said for line in text.splitlines()]
    assert {reply["turn"]: reply["response"] for reply in replies} == {
        turn.number: turn.response for turn in turns
    }
    assert len(replies) == len(turns) == 2 * MESSAGES
    expected = {f"{name} {number}" for name in ("left", "right") for number in range(MESSAGES)}
    assert {turn.message for turn in turns} == expected
    assert [turn.response for turn in turns] == [f"{turn.message} after {turn.number - 1}" for turn in turns]


async def test_a_process_that_is_killed_at_work_takes_nothing_with_it(tmp_path: Path) -> None:
    with running_endpoint(tmp_path) as endpoint:
        async with instance(endpoint.address) as chat:
            await chat.bots.save(BOT, REMEMBERING, None)
            await chat.say("before")
        with started(endpoint, "killed", 1, "--hang") as killed:
            begin(killed)
            assert read_line(killed) == ASKED
            killed.kill()
        with started(endpoint, "after", 2, "--ahead", str(RESERVATION_SECONDS + 1)) as other:
            begin(other)
            said, _ = other.communicate(timeout=60)
        turns = await all_turns(endpoint)

    assert sorted(json.loads(line)["turn"] for line in said.splitlines()) == [3, 4]
    assert [(turn.message, turn.status, turn.response) for turn in turns[:2]] == [
        ("before", "done", "before after 0"),
        ("killed 0", "pending", None),
    ]
    assert [turn.response for turn in turns[2:]] == [
        f"{turn.message} after {turn.number - 2}" for turn in turns[2:]
    ]


async def test_a_conversation_goes_on_after_its_store_was_killed(tmp_path: Path) -> None:
    with running_endpoint(tmp_path) as endpoint:
        async with instance(endpoint.address) as chat:
            await chat.bots.save(BOT, REMEMBERING, None)
            await chat.say("before")
        endpoint.kill()
    with running_endpoint(tmp_path) as endpoint:
        async with instance(endpoint.address) as chat:
            reply = await chat.say("after")

    assert (reply.turn, reply.response) == (2, "after after 1")
