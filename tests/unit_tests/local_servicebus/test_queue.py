"""The queue engine on a clock that stands still."""

from __future__ import annotations

from uuid import UUID

import pytest

from local.servicebus.engine.errors import (
    BrokerError,
    EntityNotFoundError,
    InvalidArgumentError,
    MessageLockLostError,
    MessageNotFoundError,
    NotAllowedError,
    NotSupportedError,
    SessionCannotBeLockedError,
    SessionLockLostError,
)
from local.servicebus.engine.model import (
    Delivery,
    Depth,
    Incoming,
    MessageState,
    Outcome,
    QueueSpec,
    Settlement,
)
from tests.unit_tests.local_servicebus.doubles import Bench

PLAIN = QueueSpec("orders", max_delivery_count=3)
SESSIONS = QueueSpec("orders", requires_session=True, max_delivery_count=3)


def taken(bench: Bench, session: str | None = None) -> Delivery:
    delivery = bench.queue.receive(session, lock=True)
    assert delivery is not None
    return delivery


def settle(bench: Bench, delivery: Delivery, outcome: Outcome, **details: str) -> None:
    assert delivery.lock_token is not None
    bench.queue.settle(delivery.lock_token, Settlement(outcome, **details))  # type: ignore[arg-type]  # texts only


def bodies(bench: Bench, *, dead: bool = False) -> list[str]:
    return [found.content.decode() for found in (bench.dead if dead else bench.queue).peek(0, 100)]


def test_messages_come_in_the_order_in_which_they_were_sent_with_consecutive_numbers() -> None:
    bench = Bench(PLAIN)
    assert bench.send("a", "b") == [1, 2]
    assert bench.send("c") == [3]
    assert [taken(bench).content for _ in "abc"] == [b"a", b"b", b"c"]
    assert bench.queue.receive(lock=True) is None


def test_a_completed_message_is_gone_even_after_a_restart() -> None:
    bench = Bench(PLAIN)
    bench.send("a")
    settle(bench, taken(bench), Outcome.COMPLETE)
    bench.restart()
    assert bodies(bench) == []
    assert bench.send("b") == [2]


def test_an_abandoned_message_keeps_its_place_and_counts_a_delivery() -> None:
    bench = Bench(PLAIN)
    bench.send("a", "b")
    settle(bench, taken(bench), Outcome.ABANDON)
    again = taken(bench)
    assert (again.content, again.snapshot.delivery_count) == (b"a", 1)


def test_a_released_message_counts_no_delivery() -> None:
    bench = Bench(PLAIN)
    bench.send("a")
    settle(bench, taken(bench), Outcome.RELEASE)
    assert taken(bench).snapshot.delivery_count == 0


def test_a_lock_that_runs_out_gives_the_message_back_and_can_no_longer_be_used() -> None:
    bench = Bench(PLAIN)
    bench.send("a")
    first = taken(bench)
    bench.clock.advance(PLAIN.lock_duration)
    with pytest.raises(MessageLockLostError):
        settle(bench, first, Outcome.COMPLETE)
    assert taken(bench).snapshot.delivery_count == 1


def test_a_renewed_lock_holds_for_another_duration() -> None:
    bench = Bench(PLAIN)
    bench.send("a")
    held = taken(bench)
    assert held.lock_token is not None
    bench.clock.advance(PLAIN.lock_duration - 1)
    assert bench.queue.renew([held.lock_token]) == [bench.clock.now + PLAIN.lock_duration]
    bench.clock.advance(PLAIN.lock_duration - 1)
    settle(bench, held, Outcome.COMPLETE)
    with pytest.raises(MessageLockLostError):
        bench.queue.renew([held.lock_token])


def test_a_message_that_exhausts_its_deliveries_becomes_a_dead_letter_with_reason() -> None:
    bench = Bench(PLAIN)
    bench.send("a")
    for _ in range(3):
        settle(bench, taken(bench), Outcome.ABANDON)
    assert bench.queue.receive(lock=True) is None
    dead = bench.dead.receive(lock=True)
    assert dead is not None
    assert dead.snapshot.dead_letter_reason == "MaxDeliveryCountExceeded"
    assert dead.snapshot.dead_letter_source == "orders"
    assert dead.snapshot.delivery_count == 3


def test_a_dead_letter_is_never_moved_again() -> None:
    bench = Bench(PLAIN)
    bench.send("a")
    settle(bench, taken(bench), Outcome.DEAD_LETTER, reason="r", description="d")
    for _ in range(20):
        dead = bench.dead.receive(lock=True)
        assert dead is not None
        assert dead.lock_token is not None
        bench.dead.settle(dead.lock_token, Settlement(Outcome.ABANDON))
    dead = bench.dead.receive(lock=True)
    assert dead is not None
    assert dead.lock_token is not None
    bench.dead.settle(dead.lock_token, Settlement(Outcome.DEAD_LETTER, "again"))
    [left] = bench.dead.peek(0, 10)
    assert left.snapshot.dead_letter_reason == "again"


def test_a_deferred_message_is_only_had_by_its_number() -> None:
    bench = Bench(PLAIN)
    [number] = bench.send("a")
    settle(bench, taken(bench), Outcome.DEFER)
    assert bench.queue.receive(lock=True) is None
    bench.restart()
    [deferred] = bench.queue.receive_deferred([number], lock=True)
    with pytest.raises(MessageNotFoundError):
        bench.queue.receive_deferred([number], lock=True)
    settle(bench, deferred, Outcome.ABANDON)
    [again] = bench.queue.receive_deferred([number], lock=True)
    assert again.snapshot.delivery_count == 1
    settle(bench, again, Outcome.COMPLETE)
    assert bodies(bench) == []


def test_receive_and_delete_leaves_nothing_behind() -> None:
    bench = Bench(PLAIN)
    bench.send("a")
    delivery = bench.queue.receive(lock=False)
    assert delivery is not None
    assert delivery.lock_token is None
    assert bench.store.records == {}


@pytest.mark.parametrize(("dead_letter", "expected"), [(True, ["a"]), (False, [])])
def test_an_expired_message_is_dead_lettered_only_where_the_queue_says_so(
    dead_letter: bool,  # noqa: FBT001 - a parameter of the table
    expected: list[str],
) -> None:
    bench = Bench(QueueSpec("orders", default_time_to_live=1000, dead_letter_on_expiry=dead_letter))
    bench.send("a", ttl=5000)
    assert bench.queue.next_due() == bench.clock.now + 1000
    bench.clock.advance(1000)
    assert bodies(bench) == []
    assert bodies(bench, dead=True) == expected
    if expected:
        assert bench.dead.peek(0, 1)[0].snapshot.dead_letter_reason == "TTLExpiredException"


def test_a_message_does_not_expire_in_its_receivers_hands_but_when_it_is_given_back() -> None:
    bench = Bench(PLAIN)
    bench.send("kept", "back", ttl=1000)
    kept, back = taken(bench), taken(bench)
    bench.clock.advance(2000)
    bench.broker.advance()
    settle(bench, kept, Outcome.COMPLETE)
    settle(bench, back, Outcome.ABANDON)
    assert bodies(bench) == []


def test_a_message_that_was_locked_when_looked_at_still_expires_later() -> None:
    bench = Bench(PLAIN)
    bench.send("a", ttl=1000)
    held = taken(bench)
    bench.queue.next_due()
    settle(bench, held, Outcome.RELEASE)
    bench.clock.advance(1000)
    assert bodies(bench) == []


def test_a_deferred_message_expires_too() -> None:
    bench = Bench(PLAIN)
    [number] = bench.send("a", ttl=1000)
    settle(bench, taken(bench), Outcome.DEFER)
    bench.clock.advance(1000)
    with pytest.raises(MessageNotFoundError):
        bench.queue.receive_deferred([number], lock=True)


def test_a_scheduled_message_comes_at_its_time_with_a_new_number() -> None:
    bench = Bench(PLAIN)
    due = bench.clock.now + 5000
    [number] = bench.send("later", at=due)
    bench.send("now")
    assert bench.queue.peek(0, 1)[0].snapshot.state is MessageState.SCHEDULED
    assert taken(bench).content == b"now"
    assert bench.queue.receive(lock=True) is None
    bench.restart()
    settle(bench, taken(bench), Outcome.COMPLETE)
    bench.clock.advance(5000)
    later = taken(bench)
    assert later.snapshot.sequence_number > number
    assert later.snapshot.enqueued_at == due


def test_a_cancelled_message_never_comes_and_one_unknown_number_cancels_nothing() -> None:
    bench = Bench(PLAIN)
    numbers = bench.send("a", "b", at=bench.clock.now + 1000)
    with pytest.raises(MessageNotFoundError):
        bench.queue.cancel([*numbers, 99])
    bench.queue.cancel(numbers[:1])
    bench.clock.advance(1000)
    assert bodies(bench) == ["b"]


def test_a_time_to_live_begins_when_a_scheduled_message_comes() -> None:
    bench = Bench(PLAIN)
    bench.send("a", at=bench.clock.now + 5000, ttl=1000)
    bench.clock.advance(5999)
    bench.broker.advance()
    bench.clock.advance(999)
    assert bodies(bench) == ["a"]


def test_peeking_changes_nothing_and_sees_every_state() -> None:
    bench = Bench(PLAIN)
    bench.send("held", "deferred", "free")
    taken(bench)
    settle(bench, taken(bench), Outcome.DEFER)
    bench.send("later", at=bench.clock.now + 1000)
    assert bodies(bench) == ["held", "deferred", "free", "later"]
    assert [found.content for found in bench.queue.peek(2, 2)] == [b"deferred", b"free"]
    assert bench.queue.peek(5, 10) == []


def test_duplicates_are_accepted_and_dropped_inside_the_window_only() -> None:
    spec = QueueSpec("orders", requires_duplicate_detection=True, duplicate_window=1000)
    bench = Bench(spec)
    bench.send("a", "a")
    bench.restart()
    bench.send("a")
    assert bodies(bench) == ["a"]
    bench.clock.advance(1000)
    bench.send("a")
    assert bodies(bench) == ["a", "a"]
    assert len(bench.store.history) == 1


def test_a_batch_with_one_refused_message_stores_none() -> None:
    bench = Bench(SESSIONS)
    with pytest.raises(NotAllowedError):
        bench.queue.send([Incoming(b"a", session_id="s"), Incoming(b"b")])
    assert bench.store.records == {}


def test_an_id_beyond_128_characters_is_refused() -> None:
    with pytest.raises(InvalidArgumentError):
        Bench(PLAIN).send("x" * 129)


def test_nothing_is_sent_to_a_dead_letter_queue() -> None:
    with pytest.raises(NotAllowedError):
        Bench(PLAIN).dead.send([Incoming(b"a")])


def test_a_session_is_had_by_one_receiver_at_a_time() -> None:
    bench = Bench(SESSIONS)
    bench.send("a", session="s")
    grant = bench.queue.accept_session("me", "s")
    assert grant is not None
    assert grant.locked_until == bench.clock.now + SESSIONS.lock_duration
    with pytest.raises(SessionCannotBeLockedError):
        bench.queue.accept_session("you", "s")
    assert bench.queue.accept_session("you", None) is None
    bench.queue.release_session("s", "you")
    assert bench.queue.session_owner("s") == "me"
    bench.queue.release_session("s", "me")
    assert bench.queue.accept_session("you", None) is not None


def test_sessions_are_handed_out_in_turn() -> None:
    bench = Bench(SESSIONS)
    for session in ("x", "y", "x", "z"):
        bench.send(f"of {session}", session=session)
    order = []
    for owner in "123":
        grant = bench.queue.accept_session(owner, None)
        assert grant is not None
        order.append(grant.session_id)
    assert order == ["x", "y", "z"]


def test_a_receiver_sees_its_own_session_only_and_in_order() -> None:
    bench = Bench(SESSIONS)
    bench.send("a1", session="a")
    bench.send("b1", session="b")
    bench.send("a2", session="a")
    bench.queue.accept_session("me", "a")
    assert [taken(bench, "a").content, taken(bench, "a").content] == [b"a1", b"a2"]
    assert bench.queue.receive("a", lock=True) is None
    with pytest.raises(SessionLockLostError):
        bench.queue.receive("b", lock=True)
    assert [found.content for found in bench.queue.peek(0, 9, "b")] == [b"b1"]


def test_a_session_lock_that_runs_out_gives_everything_back_and_names_the_loser() -> None:
    bench = Bench(SESSIONS)
    bench.send("a", session="s")
    bench.queue.accept_session("me", "s")
    held = taken(bench, "s")
    bench.clock.advance(SESSIONS.lock_duration)
    with pytest.raises(SessionLockLostError):
        settle(bench, held, Outcome.COMPLETE)
    assert bench.broker.take_lost_sessions() == ["me"]
    with pytest.raises(SessionLockLostError):
        bench.queue.renew_session("s")
    bench.queue.accept_session("you", None)
    assert taken(bench, "s").snapshot.delivery_count == 1


def test_a_renewed_session_lock_keeps_its_messages_locked() -> None:
    bench = Bench(SESSIONS)
    bench.send("a", session="s")
    bench.queue.accept_session("me", "s")
    held = taken(bench, "s")
    bench.clock.advance(SESSIONS.lock_duration - 1)
    until = bench.queue.renew_session("s")
    bench.clock.advance(SESSIONS.lock_duration - 1)
    assert until == bench.clock.now + 1
    settle(bench, held, Outcome.COMPLETE)
    with pytest.raises(NotAllowedError):
        bench.queue.renew([UUID(int=1)])


def test_a_session_that_is_let_go_gives_its_messages_back_uncounted() -> None:
    bench = Bench(SESSIONS)
    bench.send("a", session="s")
    bench.queue.accept_session("me", "s")
    taken(bench, "s")
    bench.queue.release_session("s", "me")
    bench.queue.accept_session("you", "s")
    assert taken(bench, "s").snapshot.delivery_count == 0


def test_session_state_outlives_messages_and_restarts_until_it_is_cleared() -> None:
    bench = Bench(SESSIONS)
    bench.queue.set_session_state("s", b"half way")
    bench.restart()
    assert bench.queue.session_state("s") == b"half way"
    assert bench.queue.sessions() == ["s"]
    bench.queue.set_session_state("s", None)
    bench.restart()
    assert bench.queue.session_state("s") is None
    assert bench.queue.sessions() == []


def test_sessions_are_listed_by_messages_or_by_when_their_state_changed() -> None:
    bench = Bench(SESSIONS)
    bench.send("a", session="with message")
    bench.queue.set_session_state("old", b"1")
    bench.clock.advance(10)
    bench.queue.set_session_state("new", b"1")
    assert bench.queue.sessions() == ["new", "old", "with message"]
    assert bench.queue.sessions(bench.clock.now - 5) == ["new"]


def test_deferred_messages_of_another_session_are_not_found() -> None:
    bench = Bench(SESSIONS)
    [number] = bench.send("a", session="s")
    bench.queue.accept_session("me", "s")
    bench.queue.accept_session("you", "t")
    settle(bench, taken(bench, "s"), Outcome.DEFER)
    with pytest.raises(MessageNotFoundError):
        bench.queue.receive_deferred([number], "t", lock=True)
    assert bench.queue.receive_deferred([number], "s", lock=False)[0].content == b"a"


def test_the_dead_letters_of_sessions_are_received_without_one() -> None:
    bench = Bench(SESSIONS)
    bench.send("a", session="s")
    bench.queue.accept_session("me", "s")
    settle(bench, taken(bench, "s"), Outcome.DEAD_LETTER)
    assert bench.dead.receive(lock=True) is not None


def test_a_restart_ends_every_lock_and_forgets_no_message() -> None:
    bench = Bench(PLAIN)
    bench.send("a", "b")
    settle(bench, taken(bench), Outcome.ABANDON)
    taken(bench)
    bench.restart()
    assert [(d.content, d.snapshot.delivery_count) for d in (taken(bench), taken(bench))] == [
        (b"a", 1),
        (b"b", 0),
    ]


def test_depths_count_by_state() -> None:
    bench = Bench(PLAIN)
    bench.send("a", "b", "c", "d")
    bench.send("e", at=bench.clock.now + 1000)
    settle(bench, taken(bench), Outcome.DEFER)
    settle(bench, taken(bench), Outcome.DEAD_LETTER)
    taken(bench)
    expected = Depth(active=2, scheduled=1, deferred=1, dead_lettered=1, locked=1)
    assert bench.broker.depths() == {"orders": expected}


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("nothing", EntityNotFoundError),
        ("a-topic", NotSupportedError),
        ("t/Subscriptions/s", NotSupportedError),
        ("orders/$Transfer/$DeadLetterQueue", NotSupportedError),
    ],
)
def test_what_is_not_a_queue_is_refused_by_name(path: str, error: type[BrokerError]) -> None:
    with pytest.raises(error, match=path.replace("$", r"\$")):
        Bench(PLAIN).broker.queue(path)


def test_what_became_ready_is_told_once() -> None:
    bench = Bench(PLAIN)
    bench.send("a")
    assert bench.broker.take_ready() == [bench.queue]
    assert bench.broker.take_ready() == []
    taken(bench)
    assert bench.broker.next_due() == bench.clock.now + PLAIN.lock_duration
    bench.clock.advance(PLAIN.lock_duration)
    bench.broker.advance()
    assert bench.broker.take_ready() == [bench.queue]


def test_a_thousand_short_stays_leave_no_trace_in_memory() -> None:
    bench = Bench(QueueSpec("orders", default_time_to_live=14 * 86_400_000))
    for number in range(1000):
        bench.send(str(number))
        settle(bench, taken(bench), Outcome.COMPLETE)
    assert len(bench.queue._expiries) < 200  # noqa: SLF001 - a leak shows nowhere else
    assert len(bench.queue._locks_due) < 200  # noqa: SLF001 - same
