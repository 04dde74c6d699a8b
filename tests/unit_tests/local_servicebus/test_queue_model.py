"""The queue engine on SQLite against a plain model: nothing is lost or there twice, whatever happens."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from local.servicebus.engine.broker import Broker
from local.servicebus.engine.errors import BrokerError
from local.servicebus.engine.model import Incoming, Outcome, QueueSpec, Settlement
from local.servicebus.storage import SqliteStore
from tests.support.soak import SOAK, sized
from tests.unit_tests.local_servicebus.doubles import FakeClock, FakeTokens

if TYPE_CHECKING:
    from uuid import UUID

    from local.servicebus.engine.queue import Queue

pytestmark = sized(120)

_LOCK, _TTL, _DELIVERIES = 1000, 5000, 3
_MOSTLY = st.integers(0, 9).map(bool)
_SESSIONS = ("red", "green")


@dataclass
class Modelled:
    """What a message should be."""

    body: str
    session: str | None
    place: str = "active"
    """active, deferred, scheduled, dead or gone"""
    count: int = 0
    expires_at: int | None = None
    due: int | None = None
    number: int = 0
    token: UUID | None = None
    locked_until: int = 0
    ttl: int | None = None


class QueueMachine(RuleBasedStateMachine):
    """One queue under random use, restarts and crashes."""

    sessions = False

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock, self.tokens = FakeClock(), FakeTokens()
        self.spec = QueueSpec(
            "q", _LOCK, _DELIVERIES, dead_letter_on_expiry=True, requires_session=self.sessions
        )
        self.model: list[Modelled] = []
        self.held_sessions: dict[str, int] = {}
        self.lost: list[UUID] = []
        self._open()

    def _open(self) -> None:
        self.store = SqliteStore(self.folder / "q.sqlite3")
        self.broker = Broker([self.spec], self.store, self.clock, self.tokens)
        self.queue, self.dead = self.broker.queue("q"), self.broker.queue("q/$DeadLetterQueue")

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    # --- the model's own rules, by scanning ---

    def _elapse(self) -> None:
        now = self.clock.now
        for session, until in list(self.held_sessions.items()):
            if until <= now:
                self._end_session(session, counted=True)
        for message in self.model:
            if message.place == "scheduled" and message.due is not None and message.due <= now:
                message.place = "active"
                message.expires_at = None if message.ttl is None else now + message.ttl
            if message.token and not self.sessions and message.locked_until <= now:
                self._back(message, counted=True)
            self._expire(message)

    def _expire(self, message: Modelled) -> None:
        due = message.expires_at is not None and message.expires_at <= self.clock.now
        if due and message.token is None and message.place in ("active", "deferred"):
            message.place = "dead"

    def _back(self, message: Modelled, *, counted: bool) -> None:
        assert message.token is not None
        self.lost.append(message.token)
        message.token = None
        message.count += counted
        if message.count >= _DELIVERIES:
            message.place = "dead"
        self._expire(message)

    def _end_session(self, session: str, *, counted: bool) -> None:
        del self.held_sessions[session]
        for message in self.model:
            if message.session == session and message.token:
                self._back(message, counted=counted)

    def _of(self, place: str) -> list[Modelled]:
        self._elapse()
        return [message for message in self.model if message.place == place]

    def _free(self, place: str, session: str | None) -> list[Modelled]:
        found = [
            m for m in self._of(place) if m.token is None and (not self.sessions or m.session == session)
        ]
        return sorted(found, key=lambda message: message.number)

    def _held(self) -> list[Modelled]:
        self._elapse()
        return [message for message in self.model if message.token]

    def _renumber(self) -> None:
        """Learn the new numbers of scheduled messages that came: their order is the engine's choice."""
        peeked = {found.content.decode(): found for found in self.queue.peek(0, 10_000)}
        for message in self.model:
            if message.body in peeked:
                message.number = peeked[message.body].snapshot.sequence_number

    # --- what can happen ---

    @rule(
        count=st.integers(1, 3),
        session=st.sampled_from(_SESSIONS),
        ttl=st.sampled_from([None, _TTL, 300]),
        delay=st.sampled_from([None, 400, 3000]),
        commit=_MOSTLY,
    )
    def send(self, count: int, session: str, ttl: int | None, delay: int | None, *, commit: bool) -> None:
        now = self.clock.now
        due = None if delay is None else now + delay
        batch = [
            Modelled(
                f"m{len(self.model) + index}",
                session,
                "active" if due is None else "scheduled",
                expires_at=None if ttl is None or due else now + ttl,
                due=due,
                ttl=ttl,
            )
            for index in range(count)
        ]
        numbers = self.queue.send(
            [
                Incoming(m.body.encode(), session_id=session, time_to_live=ttl, scheduled_for=due)
                for m in batch
            ]
        )
        assert len(set(numbers)) == count
        for message, number in zip(batch, numbers, strict=True):
            message.number = number
        self.model += batch
        if not commit:  # the process dies before it could tell anybody: as if it had never been sent
            for message in batch:
                message.place = "gone"
            self._die()
        self.store.commit()

    @rule(session=st.sampled_from(_SESSIONS), lock=_MOSTLY, accept=_MOSTLY)
    def receive(self, session: str, *, lock: bool, accept: bool) -> None:
        self._elapse()
        if self.sessions and accept and session not in self.held_sessions:
            self.accept_session(session)
        if self.sessions and session not in self.held_sessions:
            with pytest.raises(BrokerError):
                self.queue.receive(session, lock=lock)
            return
        self.queue.advance()
        self._renumber()
        expected = self._free("active", session)
        delivery = self.queue.receive(session, lock=lock)
        self.store.commit()
        if not expected:
            assert delivery is None
            return
        assert delivery is not None
        assert delivery.content.decode() == expected[0].body
        assert delivery.snapshot.delivery_count == expected[0].count
        if lock:
            expected[0].token = delivery.lock_token
            expected[0].locked_until = self.clock.now + _LOCK
        else:
            expected[0].place = "gone"

    @precondition(lambda self: self._held())
    @rule(data=st.data(), outcome=st.sampled_from(Outcome))
    def settle(self, data: st.DataObject, outcome: Outcome) -> None:
        message = data.draw(st.sampled_from(self._held()))
        assert message.token is not None
        self.queue.settle(message.token, Settlement(outcome))
        self.store.commit()
        match outcome:
            case Outcome.COMPLETE:
                message.place, message.token = "gone", None
            case Outcome.DEAD_LETTER:
                message.place, message.token = "dead", None
            case Outcome.DEFER:
                message.place, message.token = "deferred", None
                self._expire(message)
            case _:
                self._back(message, counted=outcome is Outcome.ABANDON)

    @precondition(lambda self: self.lost)
    @rule(data=st.data(), outcome=st.sampled_from(Outcome))
    def settle_what_was_lost(self, data: st.DataObject, outcome: Outcome) -> None:
        token = data.draw(st.sampled_from(self.lost))
        with pytest.raises(BrokerError):
            self.queue.settle(token, Settlement(outcome))

    @rule(session=st.sampled_from(_SESSIONS))
    def receive_deferred(self, session: str) -> None:
        if self.sessions and session not in self.held_sessions:
            return
        free = self._free("deferred", session)
        if not free or (self.sessions and session not in self.held_sessions):
            return
        [delivery] = self.queue.receive_deferred([free[0].number], session, lock=True)
        assert delivery.content.decode() == free[0].body
        free[0].token = delivery.lock_token
        free[0].locked_until = self.clock.now + _LOCK

    @precondition(lambda self: self._of("scheduled"))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        message = data.draw(st.sampled_from(self._of("scheduled")))
        self.queue.cancel([message.number])
        self.store.commit()
        message.place = "gone"

    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        held = self._held()
        if self.sessions:
            for session in self.held_sessions:
                self.held_sessions[session] = self.queue.renew_session(session)
        elif held:
            message = data.draw(st.sampled_from(held))
            assert message.token is not None
            [message.locked_until] = self.queue.renew([message.token])

    @precondition(lambda self: self.sessions)
    @rule(session=st.sampled_from(_SESSIONS))
    def accept(self, session: str) -> None:
        self.accept_session(session)

    def accept_session(self, session: str) -> None:
        self._elapse()
        if session in self.held_sessions:
            with pytest.raises(BrokerError):
                self.queue.accept_session("another", session)
            return
        grant = self.queue.accept_session("me", session)
        assert grant is not None
        self.held_sessions[session] = grant.locked_until

    @precondition(lambda self: self.sessions)
    @rule(session=st.sampled_from(_SESSIONS))
    def release_session(self, session: str) -> None:
        self._elapse()
        self.queue.release_session(session, "me")
        self.store.commit()
        if session in self.held_sessions:
            self._end_session(session, counted=False)

    @rule(milliseconds=st.sampled_from([1, 200, 999, 1000, 4000]))
    def time_passes(self, milliseconds: int) -> None:
        self.clock.advance(milliseconds)

    @rule(survives=_MOSTLY)
    def restart(self, *, survives: bool) -> None:
        if not survives:
            self._die()

    def _die(self) -> None:
        """End without a word: what was committed stays, locks and sessions end without counting."""
        self._elapse()
        self.store.close()
        for message in self.model:
            if message.token:
                self.lost.append(message.token)
                message.token = None
        self.held_sessions.clear()
        self._open()
        self._elapse()

    # --- what must hold ---

    @invariant()
    def each_message_is_where_it_belongs_and_only_there_with_its_count(self) -> None:
        self._elapse()
        alive = _seen(self.queue)
        dead = _seen(self.dead)
        self.store.commit()
        assert alive == sorted(
            (m.body, m.count) for m in self.model if m.place in ("active", "deferred", "scheduled")
        )
        assert dead == sorted((m.body, m.count) for m in self.model if m.place == "dead")

    @invariant()
    def the_depths_are_right(self) -> None:
        depth = self.queue.depth()
        places = [message.place for message in self.model]
        assert depth.active == places.count("active")
        assert depth.deferred == places.count("deferred")
        assert depth.scheduled == places.count("scheduled")
        assert depth.dead_lettered == places.count("dead")
        assert depth.locked == sum(m.place == "active" and m.token is not None for m in self.model)


def _seen(queue: Queue) -> list[tuple[str, int]]:
    found = queue.peek(0, 10_000)
    return sorted((delivery.content.decode(), delivery.snapshot.delivery_count) for delivery in found)


class SessionQueueMachine(QueueMachine):
    """The same with sessions."""

    sessions = True


_SETTINGS = settings(
    max_examples=3000 if SOAK else 60,
    stateful_step_count=80 if SOAK else 50,
    deadline=None,
    derandomize=not SOAK,
    suppress_health_check=[HealthCheck.too_slow],
)
QueueMachine.TestCase.settings = _SETTINGS
SessionQueueMachine.TestCase.settings = _SETTINGS
TestQueue = QueueMachine.TestCase
TestSessionQueue = SessionQueueMachine.TestCase
