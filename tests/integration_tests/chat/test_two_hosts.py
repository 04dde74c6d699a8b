"""Conversations over two host processes on one store: continued from both, and in a storm of failures."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from local.supervisor.addresses import COSMOS_KEY, servicebus_connection_string
from shared.llm.token_counting import TokenCounter
from tests.integration_tests.chat.storm import (
    BOT,
    Conversation,
    Tenant,
    Trouble,
    Turn,
    every_turn,
    plan,
    unleash,
)
from tests.integration_tests.platform import Caller, Platform, running_platform, wait_for
from tests.support.plain_http import NO_TLS
from tests.support.soak import SOAK, sized

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

pytestmark = [sized(300), pytest.mark.local_endpoints]

CONVERSATIONS, TENANTS, TURNS = (200, 20, 3) if SOAK else (30, 3, 3)
MESSAGES = 24 if SOAK else 4
"""Of each of the two hosts."""

KINDS = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")
REFUSALS = {"DependencyUnavailableError", "UnusableAnswerError", "TruncatedAnswerError", "ModelOutageError"}
MODELS = ("gpt-4o", "o4-mini")
"""One of each second tenant thinks before it speaks."""

COUNTER = TokenCounter()
RULE = "Rule {number}: speak of nothing but printers, and of those kindly. "


@dataclass(frozen=True)
class Hosts:
    """Two host processes on one store, with one model."""

    here: Platform
    there: Platform

    @property
    def addresses(self) -> list[str]:
        return [self.here.addresses["app"], self.there.addresses["app"]]


@pytest.fixture(scope="module")
def hosts(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    bus = int(platform.addresses["servicebus"].rsplit(":", 1)[1])
    settings = {
        "COSMOS_ENDPOINT": platform.addresses["cosmos"],
        "COSMOS_KEY": COSMOS_KEY,
        "SERVICEBUS": servicebus_connection_string(bus),
        "AZURE_OPENAI_ENDPOINT": platform.addresses["llm"],
    }
    folder = tmp_path_factory.mktemp("there") / "data"
    with running_platform(folder, "--only", "host", settings=settings) as there:
        yield Hosts(platform, there)


def new_tenant(hosts: Hosts, number: int) -> Tenant:
    """Make a tenant, whose bot's instructions are long enough to be cached, and no other tenant's length."""
    tenant_id = hosts.here.new_tenant("premium")
    caller = hosts.here.caller(tenant_id)
    instructions = "".join(RULE.format(number=place) for place in range(80)) + "Amen. " * (number + 1)
    llm = {"model": MODELS[number % len(MODELS)], "max_output_tokens": 400}
    caller.must("PUT", f"/api/v1/bots/{BOT}", {"system_prompt": instructions, "llm": llm})
    return Tenant(tenant_id, caller.key, len(instructions.split()))


def read(hosts: Hosts, one: Conversation) -> list[Any]:
    """Read a conversation's turns, once none of them is in work any more; both instances show the same."""
    callers = [Caller(host.client, one.tenant.key) for host in (hosts.here, hosts.there)]

    def turns() -> list[Any]:
        found: list[Any] = callers[0].must("GET", f"{one.path}?limit=100")["items"]
        return found

    shown = wait_for(turns, lambda found: all(turn["status"] != "pending" for turn in found), 30)
    assert callers[1].must("GET", f"{one.path}?limit=100")["items"] == shown
    return shown


def test_two_host_processes_continue_one_conversation_and_lose_no_turn(hosts: Hosts) -> None:
    tenant = new_tenant(hosts, 0)
    body = {"conversation_id": "c", "user_id": "ann"}

    def say(message: str) -> int:
        """Send a message as a client does who asks again when told that another one is being answered."""
        address = hosts.addresses[message.startswith("there")]
        headers = {"authorization": f"Bearer {tenant.key}"}
        with httpx.Client(
            base_url=address, headers=headers, timeout=60, trust_env=False, verify=NO_TLS
        ) as client:
            while True:
                answer = client.post(f"/api/v1/bots/{BOT}/chat", json=body | {"message": message})
                if answer.status_code != 409:
                    return int(answer.raise_for_status().json()["turn"])

    messages = [f"{place} {number}" for number in range(MESSAGES) for place in ("here", "there")]
    with ThreadPoolExecutor(len(messages)) as pool:
        numbers = dict(zip(messages, pool.map(say, messages), strict=True))
    shown = read(hosts, Conversation(tenant, "c", streams=False, first_instance=0))

    assert sorted(numbers.values()) == list(range(1, len(messages) + 1))
    assert {turn["message"]: turn["turn"] for turn in shown} == numbers
    for turn in shown:
        assert f"Message {turn['turn']} of this conversation" in turn["response"], "it knew all before it"


def test_a_storm_loses_doubles_and_crosses_no_turn_and_the_ledger_is_right(hosts: Hosts) -> None:
    tenants = [new_tenant(hosts, number) for number in range(TENANTS)]
    planned = plan(tenants, CONVERSATIONS, TURNS)
    with httpx.Client(
        base_url=hosts.here.addresses["llm"], trust_env=False, verify=NO_TLS, timeout=60
    ) as model:
        for turn in every_turn(planned):
            if (fault := turn.fault()) is not None:
                model.post("/_local/faults", json=fault).raise_for_status()

        asyncio.run(unleash(planned, hosts.addresses))

        stored = [read(hosts, one) for one in planned]
        served = model.get("/_local/served").json()["by_user"]
    for one, shown in zip(planned, stored, strict=True):
        check_conversation(one, shown, tenants)
    used = {tenant.tenant_id: used_by_user(hosts, tenant) for tenant in tenants}
    tell(planned, stored, [row for rows in used.values() for row in rows.values()])
    for turn in every_turn(planned):
        bill = used[turn.conversation.tenant.tenant_id].get(turn.user_id, {})
        check_bill(turn, bill, served.get(turn.known_user, {}))
    for one, shown in zip(planned, stored, strict=True):
        check_told(one, shown, used[one.tenant.tenant_id])


def used_by_user(hosts: Hosts, tenant: Tenant) -> dict[str, Mapping[str, int]]:
    caller = Caller(hosts.there.client, tenant.key)
    rows = caller.must("GET", "/api/v1/usage?group_by=user_id")["items"]
    return {row["user_id"]: row for row in rows}


def check_conversation(one: Conversation, shown: Sequence[Any], tenants: Sequence[Tenant]) -> None:
    """Each turn is there once or was refused clearly, in its order, and nothing of others is in any."""
    numbers = [turn["turn"] for turn in shown]
    assert numbers == list(range(1, len(numbers) + 1))
    messages = [turn["message"] for turn in shown]
    assert messages == [turn.message for turn in one.turns if turn.message in messages]
    by_message = {turn["message"]: turn for turn in shown}
    answered = 0
    for turn in one.turns:
        found = by_message.get(turn.message)
        if turn.is_answered:
            assert found is not None
            assert (found["status"], found["turn"]) == ("done", turn.reply["turn"])
            assert found["response"] == turn.reply["response"]
        elif turn.status:
            check_refusal(turn)
            assert found is None or found["status"] == "failed"
        if found is not None and found["status"] == "done":
            answered += 1
            assert f"Message {answered} of this conversation" in found["response"]
            assert turn.message[:40] in found["response"]
            assert f"instructions have {one.tenant.instructions} words" in found["response"]
    everything = str(shown) + str([(turn.received, turn.reply) for turn in one.turns])
    for tenant in tenants:
        assert (tenant.tenant_id in everything) == (tenant is one.tenant)


def check_refusal(turn: Turn) -> None:
    """It says what happened, and when to come back; a client that left its stream has only its parts."""
    if turn.trouble is Trouble.CLIENT_LEAVES and not turn.reply:
        return
    assert turn.reply["request_id"], turn
    assert turn.reply["message"], turn
    assert turn.reply["error"] in REFUSALS, turn


def check_bill(turn: Turn, bill: Mapping[str, int], served: Mapping[str, int]) -> None:
    """What was used is what the model says, by kind; of what broke off, no less than was received."""
    told = {kind: bill.get(kind, 0) for kind in KINDS}
    given = {kind: served.get(kind, 0) for kind in KINDS}
    if turn.is_answered:
        assert told == {kind: turn.reply["usage"][kind] for kind in KINDS}, turn
    broke_off = turn.trouble in {Trouble.TRUNCATED, Trouble.CLIENT_LEAVES} and (
        not turn.is_answered or given != told
    )
    if not broke_off:
        assert told == given, turn
        assert bill.get("requests", 0) == served.get("requests", 0), turn
        return
    assert asyncio.run(COUNTER.count_text(turn.received, MODELS[0])) <= told["completion_tokens"], turn
    assert not turn.received or told["prompt_tokens"] == given["prompt_tokens"], turn
    assert all(told[kind] <= given[kind] for kind in KINDS), turn


def check_told(one: Conversation, shown: Sequence[Any], used: Mapping[str, Mapping[str, int]]) -> None:
    """Each turn tells what it used as the ledger has it, also one without an answer."""
    users = {turn.message: turn.user_id for turn in one.turns}
    for turn in shown:
        bill = used.get(users[turn["message"]], {})
        assert {kind: turn["usage"][kind] for kind in KINDS} == {kind: bill.get(kind, 0) for kind in KINDS}


def tell(
    planned: Sequence[Conversation], stored: Sequence[Sequence[Any]], bills: Sequence[Mapping[str, int]]
) -> None:
    """Print the sums of the run, in which there has to be something of everything."""
    turns = list(every_turn(planned))
    states = Counter(turn["status"] for shown in stored for turn in shown)
    ends = Counter((turn.trouble or "no trouble", end_of(turn)) for turn in turns)
    print(f"\n{len(planned)} conversations, {len(turns)} turns, stored: {dict(states)}")  # noqa: T201  # the sums
    for (trouble, end), count in sorted(ends.items()):
        print(f"  {trouble:15} {end:30}{count:6}")  # noqa: T201  # same
    sums = {kind: sum(bill[kind] for bill in bills) for kind in KINDS}
    print(f"  used: {sums}")  # noqa: T201  # same
    assert states["done"] > len(turns) * 0.8
    assert min(sums.values()) > 0


def end_of(turn: Turn) -> str:
    return "answered" if turn.is_answered else str(turn.reply.get("error", "left"))
