"""Every POST of the contract, fifty times at once under one Idempotency-Key over two instances: done once.

The cases are generated from the contract, with the bodies and the world of `tests.support.isolation`.
What one call leaves in the store, in the queues and with the model is compared, item by item, with what
fifty leave.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from shared.http.idempotency import HEADER
from shared.tenancy.context import Role
from tests.contract.documents import API, committed
from tests.support.fakes import Call
from tests.support.isolation import BODIES, Operation, operation, operations
from tests.support.whole_app import SharedStart, WholeApp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.fakes import Answer

AT_ONCE = 50
TENANT = "acme"
KEY = {"idempotency-key": "order 66"}
OF_THE_CALLER = {"x-request-id", "x-ratelimit-remaining", "x-ratelimit-reset"}

POSTS = tuple(one for one in operations() if one.method == "POST")
HOLDS_A_SECRET = {"create_key", "rotate_key", "create_webhook", "rotate_webhook"}
"""POSTs whose answer is stored nowhere, so that no key is honoured."""

NEEDS_A_WORKER = {"approve_job"}
"""POSTs that are refused until a worker has come to some point: `tests/unit_tests/reasoning` has those."""

CHANGES_NOTHING = {"render_prompt", "batch_get_prompts", "reload_bot"}
MORE_BODIES: dict[str, tuple[dict[str, Any], ...]] = {
    "chat": ({"message": "x"},),
    "accept_job": ({"text": "x"},),
}
"""Bodies besides the one in `BODIES`: those in which the key names what is made."""

NEW = {
    "accept_job": {"id": "another", "text": "x"},
    "accept_feedback": {"id": "another", "language": "en", "text": "x"},
}
"""Bodies in the place of the one in `BODIES`, where that asks something else of what exists."""

REPEATED_BY_EACH = ("chat", "batch_save_prompts", "lock_tokens")
"""POSTs that would, without the key, do the same once more."""

FIRST = {"restore_prompt": ("delete_prompt",)}
"""What has to be done before a POST has something to do."""


@dataclass(frozen=True)
class Case:
    """One POST."""

    one: Operation
    body: dict[str, Any]

    def __str__(self) -> str:
        return "-".join((self.one.name, *(name for name in self.body if name.endswith("id"))))


CASES = [
    Case(one, body)
    for one in POSTS
    for body in (NEW.get(one.name, BODIES.get(one.name, {})), *MORE_BODIES.get(one.name, ()))
]


@dataclass(frozen=True)
class Instances:
    """Two instances of the app over one store, and a tenant who has something of everything."""

    apps: tuple[WholeApp, WholeApp]
    names: dict[str, str]
    boss: dict[str, str]

    async def post(self, case: Case, times: int, key: dict[str, str] = KEY) -> list[Answer]:
        """Ask so often at once, by turns of each instance."""
        caller = self.apps[0].admin if case.one.role == "admin" else self.boss
        body = {
            member: value.format_map(self.names) if isinstance(value, str) else value
            for member, value in case.body.items()
        }
        call = Call.of(body, headers=caller | key, **case.one.address(self.names))
        calls = (self.apps[turn % 2].client.call(case.one.name, call) for turn in range(times))
        return await asyncio.gather(*calls)

    def left(self) -> Counter[str]:
        """Tell all that there is now: in the store, in the queues, and what the model was asked."""
        stored = [
            f"in {name}: {_without_chance(body.decode())}" for name, _, body in self.apps[0].cosmos.rows()
        ]
        runtimes = [app.runtime.__dict__ for app in self.apps]
        sent = [f"sent: {_without_chance(str(one))}" for known in runtimes for one in known["sender"].sent]
        asked = [
            f"asked: {_without_chance(str(prompt))}"
            for known in runtimes
            for prompt in known["chat_model"].prompts
        ]
        return Counter([*stored, *set(sent), *asked])


def _without_chance(text: str) -> str:
    """Leave out what differs from one run to the next: ids, hashes, ETags and places in memory."""
    return re.sub(r'"_(rid|self|etag)":".*?"|[\w:.=-]{20,}|[0-9a-f]{12,}', "*", text)


def _effect(before: Counter[str], after: Counter[str]) -> dict[str, Counter[str]]:
    return {"gone": before - after, "new": after - before}


async def _prepare(app: WholeApp) -> tuple[dict[str, str], dict[str, str]]:
    """Give a tenant something of everything; returns what that is called, and the headers of who has it."""
    await app.new_tenant(TENANT)
    boss = await app.new_key(TENANT, Role.TENANT_ADMIN)
    return await app.own_everything(TENANT, boss), boss


_START: Final = SharedStart(_prepare)


@asynccontextmanager
async def instances(case: Case) -> AsyncIterator[Instances]:
    async with _START.open() as (first, (names, boss)):
        for name in FIRST.get(case.one.name, ()):
            await first.must(name, Call(operation(name).address(names), headers=boss))
        first.cosmos.transport.lets_others_run = True
        yield Instances((first, first.another_instance()), names, boss)


def says_that_it_runs(answer: Answer) -> bool:
    """Tell whether a refusal says that the first request is in work; OpenAI's routes have no error's name."""
    error = answer.json()["error"]
    return error == "RequestInWorkError" or "still running" in error["message"]


def same_for_the_caller(answer: Answer) -> tuple[int, bytes, dict[str, str]]:
    headers = {name: value for name, value in answer.headers.items() if name not in OF_THE_CALLER}
    return answer.status, answer.body, headers


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.one.name not in HOLDS_A_SECRET | NEEDS_A_WORKER], ids=str
)
@pytest.mark.slow
async def test_fifty_at_once_leave_what_one_leaves_and_have_one_answer_ever_after(case: Case) -> None:
    async with instances(case) as alone:
        before = alone.left()
        [done] = await alone.post(case, 1)
        once = _effect(before, alone.left())
    async with instances(case) as together:
        before = together.left()
        answers = await together.post(case, AT_ONCE)
        again = await together.post(case, 2)

        assert _effect(before, together.left()) == once
    given = [same_for_the_caller(answer) for answer in answers if answer.status != 409]
    waiting = [answer for answer in answers if answer.status == 409]
    assert given
    assert given[0][0] == done.status < 300, given[0]
    assert all(answer == given[0] for answer in given)
    assert [same_for_the_caller(answer) for answer in again] == [given[0]] * 2
    assert all(says_that_it_runs(answer) for answer in waiting)
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in waiting)
    besides_the_claim = [one for one in once["new"] if not one.startswith("in idempotency")]
    assert bool(besides_the_claim) == (case.one.name not in CHANGES_NOTHING)


@pytest.mark.parametrize("case", [case for case in CASES if case.one.name in HOLDS_A_SECRET], ids=str)
@pytest.mark.slow
async def test_an_answer_with_a_secret_is_never_given_again_and_stored_nowhere(case: Case) -> None:
    async with instances(case) as made:
        [first] = await made.post(case, 1)
        shown = first.json()
        secret = (shown.get("secret") or shown["key"].rpartition(".")[2]).encode()
        [again] = await made.post(case, 1)

        assert secret not in again.body
        assert not [row for row in made.apps[0].cosmos.rows() if secret in row[2]]


@pytest.mark.parametrize("case", [case for case in CASES if case.one.name in REPEATED_BY_EACH], ids=str)
async def test_what_is_done_twice_is_found(case: Case) -> None:
    async with instances(case) as made:
        before = made.left()
        await made.post(case, 1)
        once = _effect(before, made.left())
        await made.post(case, 1, key={})

        assert _effect(before, made.left()) != once


def test_the_contract_and_the_cases_agree_on_who_honours_a_key() -> None:
    paths = committed(API)["paths"]
    honouring = {
        one.name
        for one in POSTS
        if any(named["name"].lower() == HEADER for named in paths[one.template]["post"]["parameters"])
    }

    assert honouring == {one.name for one in POSTS} - HOLDS_A_SECRET
