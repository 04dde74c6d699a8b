"""Batches over a store that loses requests and answers, beside others: what each is told is what was done."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.cosmos.container import Query
from shared.errors import APIError, DependencyUnavailableError
from shared.prompts.batches import delete_many, save_many
from shared.prompts.models import PromptDraft
from shared.prompts.store import PromptStore
from shared.prompts.stored_models import ChangeItem, PromptHead, PromptItem, PromptVersion, latest_version
from shared.tenancy.context import Role
from shared.tenancy.source import Source
from tests.support.fakes import FakeClock, tenant_context
from tests.support.memory_cosmos import memory_cosmos
from tests.support.soak import SOAK, sized
from tests.unit_tests.prompts.interrupted import Interrupted
from tests.unit_tests.prompts.library import library_over

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shared.prompts.batches import ItemOutcome
    from tests.support.memory_cosmos import MemoryCosmos
    from tests.unit_tests.prompts.interrupted import Event

pytestmark = sized(120)

EDITOR = tenant_context("acme", Role.TENANT_ADMIN)
OWN = Source.TENANT
NAMES = [f"p{number:02}" for number in range(30)]
"""More than one batch writes."""

FEW = st.sampled_from([NAMES[:1], NAMES[:2], NAMES[1:3], NAMES])
EXAMPLES = 300 if SOAK else 6
REFUSED = {"save": 412, "delete": 404}


@dataclass(frozen=True)
class Fault:
    """What is lost in the n-th request of a step and in those after it."""

    request: int
    what: Literal["requests", "answers"]
    times: int


@dataclass(frozen=True)
class Step:
    """One batch by one of two instances; `overtaken` are saved by somebody else before its first writes."""

    action: Literal["save", "delete"]
    names: Sequence[str]
    instance: int
    if_match: Literal["any", "seen", "old"]
    fault: Fault | None
    overtaken: Sequence[str]


STEPS = st.builds(
    Step,
    st.sampled_from(["save", "save", "delete"]),
    FEW,
    st.integers(0, 1),
    st.sampled_from(["any", "any", "seen", "old"]),
    st.none()
    | st.none()
    | st.builds(
        Fault,
        st.integers(1, 6),
        st.sampled_from(["requests", "answers"]),
        st.sampled_from([1, 2, 3, 10**6]),
    ),
    st.just([]) | st.lists(st.sampled_from([*NAMES[:2], NAMES[-1]]), max_size=5),
)


@dataclass(frozen=True)
class Stored:
    """All that is stored: heads, and records of each name's changes, the last first."""

    heads: Mapping[str, PromptHead]
    records: Mapping[str, Sequence[PromptItem]]

    def times_done(self, name: str, mark: str) -> int:
        return sum(item.change.reason == mark for item in self.records.get(name, ()))

    def check_whole(self, name: str) -> None:
        head, items = self.heads.get(name), self.records.get(name, ())
        history = [item.change for item in items]
        if head is None:
            assert history == []
            return
        assert [change.number for change in history] == list(range(len(history), 0, -1))
        versions = [item for item in items if isinstance(item, PromptVersion)]
        assert [version.change.action for version in versions] == ["save"] * head.version
        assert [version.version for version in versions] == list(range(head.version, 0, -1))
        assert [version.change.version for version in versions] == list(range(head.version, 0, -1))
        assert head.change == history[0]
        assert latest_version(head).change == versions[0].change
        assert head.content == versions[0].content
        assert head.content.template == versions[0].change.reason or versions[0].change.reason is None
        assert head.deleted == (history[0].action == "delete")


class World:
    """Two instances and somebody else on one store, and a look at what is stored."""

    def __init__(self, cosmos: MemoryCosmos, clock: FakeClock) -> None:
        self.cosmos = cosmos
        self.clock = clock
        self.container = container = cosmos.container("prompts")
        self.stored = PromptStore(EDITOR, container, clock)
        self.containers = [Interrupted(container) for _ in range(2)]
        self.instances = [library_over(between, clock).of(EDITOR) for between in self.containers]
        self.marks = count()

    async def look(self) -> Stored:
        """Read all that is stored, in one request."""
        query = Query("SELECT VALUE c FROM c", limit=10**6)
        heads: dict[str, PromptHead] = {}
        records: defaultdict[str, list[PromptItem]] = defaultdict(list)
        for body in await self.container.query(("acme",), query):
            if body["kind"] == "head":
                head = PromptHead.from_json(body)
                heads[head.name] = head
            else:
                item = (
                    PromptVersion.from_json(body) if body["kind"] == "version" else ChangeItem.from_json(body)
                )
                records[item.name].append(item)
        for found in records.values():
            found.sort(key=lambda item: item.change.number, reverse=True)
        return Stored(heads, records)

    async def take(self, step: Step) -> None:
        """Take a step, and compare what it was told with what there is then."""
        before, mark = (await self.look()).heads, f"mark {next(self.marks)}"
        self.containers[step.instance].next_batches(*self.others(step))
        self.break_down(step.fault)
        try:
            told = await self.told(step, before, mark)
        except DependencyUnavailableError:
            told = None
        self.mend()
        after = await self.look()
        for name in {*step.names, *step.overtaken}:
            after.check_whole(name)
        for place, name in enumerate(step.names):
            done = after.times_done(name, mark)
            outcome = None if told is None else told[place].outcome
            if outcome is None or (isinstance(outcome, APIError) and outcome.is_outage):
                assert done <= 1
                assert step.fault is not None
            elif isinstance(outcome, APIError):
                assert done == 0
                assert step.overtaken or self.may_refuse(step, before.get(name), outcome)
            else:
                assert done == 1
                assert step.overtaken or outcome.etag == after.heads[name].etag
                assert step.overtaken or not self.must_refuse(step, before.get(name))

    async def told(self, step: Step, before: Mapping[str, PromptHead], mark: str) -> Sequence[ItemOutcome]:
        prompts = self.instances[step.instance]
        if step.action == "delete":
            return await delete_many(prompts, step.names, OWN, mark)
        seen: dict[str, dict[str, object]] = {"any": {}, "old": {"if_match": "old"}}
        return await save_many(
            prompts,
            [
                {"name": name, "template": mark, "reason": mark}
                | (seen[step.if_match] if step.if_match in seen else self.etag_of(before.get(name)))
                for name in step.names
            ],
            OWN,
        )

    @staticmethod
    def etag_of(head: PromptHead | None) -> dict[str, object]:
        return {} if head is None else {"if_match": head.etag}

    def others(self, step: Step) -> list[Event]:
        return [partial(self.saved_by_another, name) for name in step.overtaken]

    async def saved_by_another(self, name: str) -> None:
        draft = PromptDraft(template="somebody else's")
        lost = self.cosmos.transport.lose_requests, self.cosmos.transport.lose_answers
        self.cosmos.transport.lose_requests = self.cosmos.transport.lose_answers = 0
        with suppress(DependencyUnavailableError):  # where the fault falls upon it
            await self.stored.save(name, draft, None)
        self.cosmos.transport.lose_requests, self.cosmos.transport.lose_answers = lost

    def break_down(self, fault: Fault | None) -> None:
        transport, began = self.cosmos.transport, self.cosmos.transport.requests

        def watch(_: object) -> None:
            if fault is not None and transport.requests - began == fault.request:
                setattr(transport, f"lose_{fault.what}", fault.times)

        transport.watch = watch

    def mend(self) -> None:
        transport = self.cosmos.transport
        transport.watch = lambda _: None
        transport.lose_requests = transport.lose_answers = 0
        for container in self.containers:
            container.calm()
        self.clock.advance(30)  # the breaker lets calls through again

    @staticmethod
    def must_refuse(step: Step, head: PromptHead | None) -> bool:
        if step.action == "delete":
            return head is None or head.deleted
        return step.if_match == "old"

    def may_refuse(self, step: Step, head: PromptHead | None, error: APIError) -> bool:
        return self.must_refuse(step, head) and error.status == REFUSED[step.action]


@settings(max_examples=EXAMPLES, deadline=None, derandomize=not SOAK)
@given(st.lists(STEPS, min_size=4, max_size=8))
async def test_what_each_is_told_of_a_batch_is_what_was_done(steps: list[Step]) -> None:
    clock = FakeClock()
    async with memory_cosmos(clock) as cosmos:
        world = World(cosmos, clock)
        for step in steps:
            await world.take(step)
