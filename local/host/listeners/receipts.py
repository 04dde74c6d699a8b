"""Blob receipts in one SQLite file that all instances of a host share."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local.host.listeners.blob import BlobVersion

_SCHEMA = """
CREATE TABLE IF NOT EXISTS receipts (
    function TEXT, container TEXT, blob TEXT, etag TEXT,
    state TEXT NOT NULL CHECK (state IN ('working', 'done', 'failed', 'poison')),
    failures INTEGER NOT NULL DEFAULT 0,
    owner TEXT,
    claimed INTEGER NOT NULL,
    PRIMARY KEY (function, container, blob, etag)
) WITHOUT ROWID
"""


class SqliteReceipts:
    """Records of work that is claimed, done or given up.

    A claim belongs to an owner, which holds a lock on a file of its name while its process lives: the claim
    of a killed instance is free at once, and no clock decides about it.
    """

    def __init__(self, folder: Path) -> None:
        self._owners = folder / "owners"
        self._owners.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(folder / "receipts.db", timeout=30, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute(_SCHEMA)
        self._database.execute("CREATE INDEX IF NOT EXISTS by_claim ON receipts (claimed)")
        self._owner = uuid.uuid4().hex
        self._lock = os.open(self._owners / self._owner, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def claim(self, function: str, version: BlobVersion) -> int | None:
        """Take a version to work on; return how often it failed, or None if it is done or another's."""
        if not self._is_free(self._row(function, version)):
            return None
        with self._transaction():
            # Read again inside of the transaction: another instance may have been faster.
            row = self._row(function, version)
            if not self._is_free(row):
                return None
            failures = int(row[1]) if row is not None else 0
            self._write(function, version, "working", failures)
        return failures

    def done(self, function: str, version: BlobVersion) -> None:
        """Record success."""
        with self._transaction():
            self._write(function, version, "done", 0)
            # Receipts of versions that were claimed before this one are of no more use.
            self._database.execute(
                "DELETE FROM receipts WHERE function=?1 AND container=?2 AND blob=?3 "
                "AND state IN ('done', 'failed') AND claimed < (SELECT claimed FROM receipts "
                "WHERE function=?1 AND container=?2 AND blob=?3 AND etag=?4)",
                (function, version.container, version.name, version.etag),
            )

    def release(self, function: str, version: BlobVersion) -> None:
        """Give a claim back, as if it had not been made."""
        with self._transaction():
            self._database.execute(
                "UPDATE receipts SET state='failed', owner=NULL "
                "WHERE function=? AND container=? AND blob=? AND etag=? AND state='working'",
                (function, version.container, version.name, version.etag),
            )

    def failed(self, function: str, version: BlobVersion, *, poison: bool) -> None:
        """Record a failure, and whether it was the last one."""
        with self._transaction():
            self._database.execute(
                "UPDATE receipts SET state=?, failures=failures+1, owner=NULL "
                "WHERE function=? AND container=? AND blob=? AND etag=?",
                ("poison" if poison else "failed", function, version.container, version.name, version.etag),
            )

    def poison(self) -> list[dict[str, str]]:
        """Return the versions that were given up, under the names of Azure's poison message."""
        rows = self._database.execute(
            "SELECT function, container, blob, etag FROM receipts WHERE state='poison' ORDER BY 1, 2, 3"
        )
        return [
            {
                "FunctionId": function,
                "BlobType": "BlockBlob",
                "ContainerName": container,
                "BlobName": blob,
                "ETag": etag,
            }
            for function, container, blob, etag in rows
        ]

    def close(self) -> None:
        """Give up what is claimed and close the file."""
        with self._transaction():
            self._database.execute(
                "UPDATE receipts SET state='failed', owner=NULL WHERE state='working' AND owner=?",
                (self._owner,),
            )
        self._database.close()
        (self._owners / self._owner).unlink(missing_ok=True)
        os.close(self._lock)

    def _row(self, function: str, version: BlobVersion) -> tuple[str, int, str | None] | None:
        row: tuple[str, int, str | None] | None = self._database.execute(
            "SELECT state, failures, owner FROM receipts "
            "WHERE function=? AND container=? AND blob=? AND etag=?",
            (function, version.container, version.name, version.etag),
        ).fetchone()
        return row

    def _is_free(self, row: tuple[str, int, str | None] | None) -> bool:
        if row is None or row[0] == "failed":
            return True
        state, _, owner = row
        return state == "working" and owner != self._owner and not self._lives(owner)

    def _lives(self, owner: str | None) -> bool:
        if owner is None:
            return False
        path = self._owners / owner
        try:
            probe = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            path.unlink(missing_ok=True)
            return False
        finally:
            os.close(probe)

    def _write(self, function: str, version: BlobVersion, state: str, failures: int) -> None:
        self._database.execute(
            "INSERT INTO receipts VALUES "
            "(?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(claimed), 0) + 1 FROM receipts)) "
            "ON CONFLICT DO UPDATE SET "
            "state=excluded.state, failures=excluded.failures, owner=excluded.owner",
            (
                function,
                version.container,
                version.name,
                version.etag,
                state,
                failures,
                self._owner if state == "working" else None,
            ),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")
