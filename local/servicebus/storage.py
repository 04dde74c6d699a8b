"""The queues on disk: one SQLite file in WAL mode, one transaction for all since the last commit."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, Self

from local.data_folder import make_private
from local.servicebus.engine.model import MessageState, Record, SavedQueue, SavedSession

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS messages (
    row_id INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    sequence_number INTEGER NOT NULL,
    state INTEGER NOT NULL,
    enqueued_at INTEGER NOT NULL,
    time_to_live INTEGER,
    scheduled_for INTEGER,
    delivery_count INTEGER NOT NULL,
    message_id TEXT,
    session_id TEXT,
    dead_letter_source TEXT,
    dead_letter_reason TEXT,
    dead_letter_description TEXT,
    property_changes BLOB NOT NULL,
    content BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS queues (name TEXT PRIMARY KEY, last_sequence_number INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS sessions (
    queue TEXT NOT NULL,
    session_id TEXT NOT NULL,
    state BLOB NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (queue, session_id)
) STRICT;
CREATE TABLE IF NOT EXISTS history (
    queue TEXT NOT NULL,
    message_id TEXT NOT NULL,
    accepted_at INTEGER NOT NULL,
    PRIMARY KEY (queue, message_id)
) STRICT;
"""
_COLUMNS: Final = (
    "row_id, queue, sequence_number, state, enqueued_at, time_to_live, scheduled_for, delivery_count, "
    "message_id, session_id, dead_letter_source, dead_letter_reason, dead_letter_description, "
    "property_changes"
)
_INSERT: Final = f"INSERT INTO messages ({_COLUMNS}, content) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"  # noqa: S608 - constants
_UPDATE: Final = (
    "UPDATE messages SET queue=?, sequence_number=?, state=?, enqueued_at=?, delivery_count=?, "
    "dead_letter_source=?, dead_letter_reason=?, dead_letter_description=?, property_changes=? WHERE row_id=?"
)
_CACHED_BYTES: Final = 64 * 1024 * 1024
_SCHEMA_VERSION: Final = 1
_LOCKED_SECONDS: Final = 1.0
"""How long to wait for a broker on the same file that is just ending."""


class StoreError(Exception):
    """The file cannot be used."""


class SqliteStore:
    """Keeps the queues in `path`.

    A commit is written to the file before `commit` returns, so that it survives the death of this process.
    It is not forced through to the disk (`synchronous=NORMAL`): a power cut may lose the last commits, but
    never half of one.
    """

    def __init__(self, path: Path, cached_bytes: int = _CACHED_BYTES) -> None:
        self.path = path
        self._db = _open(path)
        self._in_transaction = False
        self._inserts: dict[int, tuple[Record, bytes]] = {}
        self._numbers: dict[str, int] = {}
        self._contents = _RecentContents(cached_bytes)

    def __enter__(self) -> Self:
        """Use it as a context: it is closed at the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file; what was not committed is gone."""
        self.close()

    def close(self) -> None:
        """Close the file; what was not committed is gone."""
        self._db.close()

    def commit(self) -> None:
        """Make everything since the last commit last.

        Raises:
            sqlite3.Error: It could not be written; nothing of it may be told to anybody.
        """
        self._write_out()
        if self._in_transaction:
            self._db.execute("COMMIT")
            self._in_transaction = False

    # --- what the engine reads ---

    def queues(self) -> set[str]:
        """List the names of the queues and dead-letter queues that hold messages."""
        return {name for (name,) in self._db.execute("SELECT DISTINCT queue FROM messages")}

    def load(self, queue: str) -> SavedQueue:
        """Give all that is stored of a queue."""
        records = [
            _record(row)
            for row in self._db.execute(
                f"SELECT {_COLUMNS} FROM messages WHERE queue=? ORDER BY sequence_number",  # noqa: S608 - constants
                (queue,),
            )
        ]
        last = self._db.execute("SELECT last_sequence_number FROM queues WHERE name=?", (queue,)).fetchone()
        sessions = [
            SavedSession(*row)
            for row in self._db.execute(
                "SELECT session_id, state, updated_at FROM sessions WHERE queue=?", (queue,)
            )
        ]
        history = self._db.execute(
            "SELECT message_id, accepted_at FROM history WHERE queue=? ORDER BY accepted_at", (queue,)
        ).fetchall()
        return SavedQueue(records, last[0] if last else 0, sessions, history)

    def last_row_id(self) -> int:
        """Give the highest row id in use, 0 if there is none."""
        (last,) = self._db.execute("SELECT coalesce(max(row_id), 0) FROM messages").fetchone()
        return int(last)

    def content(self, row_id: int) -> bytes:
        """Give a message's content."""
        held_back = self._inserts.get(row_id)
        if held_back is not None:
            return held_back[1]
        content = self._contents.get(row_id)
        if content is None:
            row = self._db.execute("SELECT content FROM messages WHERE row_id=?", (row_id,)).fetchone()
            content = bytes(row[0])
            self._contents.put(row_id, content)
        return content

    # --- what the engine writes ---

    def insert(self, record: Record, content: bytes) -> None:
        """Store a new message."""
        # Held back until the commit, where all of them go in by one call; what comes and goes in between
        # is never written.
        self._inserts[record.row_id] = (record, content)
        self._contents.put(record.row_id, content)

    def update(self, record: Record) -> None:
        """Store a message's changed record."""
        if record.row_id in self._inserts:
            return  # the insert that waits carries the record itself
        self._begin()
        self._db.execute(
            _UPDATE,
            (
                record.queue,
                record.sequence_number,
                int(record.state),
                record.enqueued_at,
                record.delivery_count,
                record.dead_letter_source,
                record.dead_letter_reason,
                record.dead_letter_description,
                record.property_changes,
                record.row_id,
            ),
        )

    def delete(self, row_id: int) -> None:
        """Forget a message."""
        self._contents.drop(row_id)
        if self._inserts.pop(row_id, None) is None:
            self._begin()
            self._db.execute("DELETE FROM messages WHERE row_id=?", (row_id,))

    def save_sequence_number(self, queue: str, last: int) -> None:
        """Store the last sequence number that was given out."""
        self._numbers[queue] = last

    def save_session(self, queue: str, session: SavedSession) -> None:
        """Store a session's state; one without state is forgotten."""
        self._begin()
        if session.state is None:
            self._db.execute(
                "DELETE FROM sessions WHERE queue=? AND session_id=?", (queue, session.session_id)
            )
        else:
            self._db.execute(
                "INSERT OR REPLACE INTO sessions VALUES (?,?,?,?)",
                (queue, session.session_id, session.state, session.updated_at),
            )

    def remember(self, queue: str, message_id: str, at: int) -> None:
        """Store a message id for duplicate detection."""
        self._begin()
        self._db.execute("INSERT OR REPLACE INTO history VALUES (?,?,?)", (queue, message_id, at))

    def forget(self, queue: str, message_ids: Sequence[str]) -> None:
        """Drop message ids from duplicate detection."""
        self._begin()
        self._db.executemany(
            "DELETE FROM history WHERE queue=? AND message_id=?",
            [(queue, message_id) for message_id in message_ids],
        )

    # --- inside ---

    def _begin(self) -> None:
        if not self._in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
            self._in_transaction = True

    def _write_out(self) -> None:
        if self._inserts:
            self._begin()
            self._db.executemany(_INSERT, [_row(*held_back) for held_back in self._inserts.values()])
            self._inserts.clear()
        if self._numbers:
            self._begin()
            self._db.executemany("INSERT OR REPLACE INTO queues VALUES (?,?)", list(self._numbers.items()))
            self._numbers.clear()


def _open(path: Path) -> sqlite3.Connection:
    try:
        make_private(path)
        db = sqlite3.connect(path, timeout=_LOCKED_SECONDS, isolation_level=None)
        try:
            _prepare(db, path)
        except BaseException:
            db.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{path} cannot be opened: {error}") from error
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA locking_mode=EXCLUSIVE")  # one broker per file; also spares shared memory
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("PRAGMA secure_delete=ON")  # what a consumer has taken is not left behind in freed pages
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version not in (0, _SCHEMA_VERSION):
        raise StoreError(f"{path} was written by another version ({version}, not {_SCHEMA_VERSION})")
    db.executescript(_SCHEMA)
    db.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")


class _RecentContents:
    """The contents that were last stored or read, up to a number of bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._contents: OrderedDict[int, bytes] = OrderedDict()

    def get(self, row_id: int) -> bytes | None:
        return self._contents.get(row_id)

    def put(self, row_id: int, content: bytes) -> None:
        self.drop(row_id)
        self._contents[row_id] = content
        self._bytes += len(content)
        while self._bytes > self._most_bytes:
            _, oldest = self._contents.popitem(last=False)
            self._bytes -= len(oldest)

    def drop(self, row_id: int) -> None:
        content = self._contents.pop(row_id, None)
        if content is not None:
            self._bytes -= len(content)


def _record(row: tuple[Any, ...]) -> Record:
    record = Record(*row)
    record.state = MessageState(record.state)
    return record


def _row(record: Record, content: bytes) -> tuple[object, ...]:
    return (
        record.row_id,
        record.queue,
        record.sequence_number,
        int(record.state),
        record.enqueued_at,
        record.time_to_live,
        record.scheduled_for,
        record.delivery_count,
        record.message_id,
        record.session_id,
        record.dead_letter_source,
        record.dead_letter_reason,
        record.dead_letter_description,
        record.property_changes,
        content,
    )
