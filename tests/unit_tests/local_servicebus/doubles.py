"""A clock to be set, tokens to be predicted, a store in memory, and a broker on them."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from uuid import UUID

from local.servicebus.engine.broker import Broker
from local.servicebus.engine.model import Incoming, QueueSpec, Record, SavedQueue, SavedSession


@dataclass
class FakeClock:
    now: int = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now

    def advance(self, milliseconds: int) -> None:
        self.now += milliseconds


@dataclass
class FakeTokens:
    made: int = 0

    def __call__(self) -> UUID:
        self.made += 1
        return UUID(int=self.made)


@dataclass
class FakeStore:
    records: dict[int, Record] = field(default_factory=dict)
    contents: dict[int, bytes] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    sessions: dict[tuple[str, str], SavedSession] = field(default_factory=dict)
    history: dict[tuple[str, str], int] = field(default_factory=dict)

    def load(self, queue: str) -> SavedQueue:
        return SavedQueue(
            [copy(record) for record in self.records.values() if record.queue == queue],
            self.numbers.get(queue, 0),
            [saved for (name, _), saved in self.sessions.items() if name == queue],
            [(message_id, at) for (name, message_id), at in self.history.items() if name == queue],
        )

    def last_row_id(self) -> int:
        return max(self.records, default=0)

    def insert(self, record: Record, content: bytes) -> None:
        self.contents[record.row_id] = content
        self.update(record)

    def update(self, record: Record) -> None:
        self.records[record.row_id] = copy(record)
        self.records[record.row_id].lock = None

    def delete(self, row_id: int) -> None:
        del self.records[row_id]
        del self.contents[row_id]

    def content(self, row_id: int) -> bytes:
        return self.contents[row_id]

    def save_sequence_number(self, queue: str, last: int) -> None:
        self.numbers[queue] = last

    def save_session(self, queue: str, session: SavedSession) -> None:
        if session.state is None:
            self.sessions.pop((queue, session.session_id), None)
        else:
            self.sessions[queue, session.session_id] = session

    def remember(self, queue: str, message_id: str, at: int) -> None:
        self.history[queue, message_id] = at

    def forget(self, queue: str, message_ids: object) -> None:
        assert isinstance(message_ids, list)
        for message_id in message_ids:
            del self.history[queue, message_id]


@dataclass
class Bench:
    """A broker with one queue, and what it stands on."""

    spec: QueueSpec
    clock: FakeClock = field(default_factory=FakeClock)
    store: FakeStore = field(default_factory=FakeStore)
    tokens: FakeTokens = field(default_factory=FakeTokens)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.broker = Broker([self.spec], self.store, self.clock, self.tokens, ["a-topic"])
        self.queue = self.broker.queue(self.spec.name)
        self.dead = self.broker.queue(self.spec.name + "/$deadletterqueue")

    def send(
        self, *bodies: str, session: str | None = None, ttl: int | None = None, at: int | None = None
    ) -> list[int]:
        return self.queue.send(
            [
                Incoming(
                    body.encode(), session_id=session, time_to_live=ttl, scheduled_for=at, message_id=body
                )
                for body in bodies
            ]
        )
