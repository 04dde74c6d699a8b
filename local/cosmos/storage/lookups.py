"""Indexes of a container's items by the texts in them: SQLite's own, on expressions.

The service indexes every property. Here each index costs every write, and most containers are small: one is
made when a query had to read many items for few results, and kept with the file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection

type Path = tuple[str, ...]

MOST_LOOKUPS: Final = 8
"""How many indexes a container gets: each is written with every item."""

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Lookup(NamedTuple):
    """An index: items of a partition, or of a prefix of keys, with one text, in the order of another.

    Attributes:
        width: The bytes of the effective partition key that it goes by.
        pinned: The property that has one of some texts; None where items are only ordered.
        ordered: The property in whose order they are; None where they are only found.
    """

    width: int
    pinned: Path | None
    ordered: Path | None


class Found(NamedTuple):
    """The part of an index to be read.

    Attributes:
        prefix: The first bytes of the effective partition key.
        text: The text of the pinned property; None where there is none.
        low: The least text of the ordered property, itself included; None where there is no bound.
        high: The greatest one, itself included; None where there is no bound.
        descending: Whether to read it from its end.
    """

    prefix: bytes
    text: str | None = None
    low: str | None = None
    high: str | None = None
    descending: bool = False


class Lookups:
    """The indexes of one container's table.

    Args:
        connection: The file.
        number: The container's.
    """

    def __init__(self, connection: sqlite3.Connection, number: int) -> None:
        self._connection = connection
        self._table = f"items_{number}"
        self._name = f"items_{number}_lookup_"
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = ?", (self._table,)
        )
        self.known = {_read(name[len(self._name) :]) for (name,) in names if name.startswith(self._name)}

    @staticmethod
    def serves(path: Path) -> bool:
        """Tell whether a property can be indexed: its names are plain."""
        return all(_PLAIN.fullmatch(step) for step in path)

    def add(self, lookup: Lookup) -> None:
        """Make an index, unless the container has its share of them."""
        if lookup in self.known or len(self.known) >= MOST_LOOKUPS:
            return
        columns = [_prefix(lookup.width), *map(_text, filter(None, lookup[1:])), "epk"]
        name = self._name + orjson.dumps([*lookup]).hex()
        self._connection.execute(f"CREATE INDEX {name} ON {self._table} ({', '.join(columns)})")
        self.known.add(lookup)

    def count(self, prefix: bytes, pinned: Path, texts: Collection[str], most: int | None = None) -> int:
        """Count the items whose property has one of some texts, up to a number."""
        where = f"{_prefix(len(prefix))} = ? AND {_text(pinned)} IN ({', '.join('?' * len(texts))})"
        matching = f"SELECT 1 FROM {self._table} WHERE {where} LIMIT ?"
        counted = self._connection.execute(
            f"SELECT COUNT(*) FROM ({matching})", (prefix, *texts, -1 if most is None else most)
        ).fetchone()
        return int(counted[0])

    def clause(self, lookup: Lookup, found: Found, now: int) -> tuple[str, list[object]]:
        """Return the condition and the order by which an index's part is read, with their values."""
        conditions: list[str] = [f"{_prefix(lookup.width)} = ?"]
        values: list[object] = [found.prefix]
        bounds = ((lookup.pinned, "=", found.text), (lookup.ordered, ">=", found.low))
        for path, operator, text in (*bounds, (lookup.ordered, "<=", found.high)):
            if path is not None and text is not None:
                conditions.append(f"{_text(path)} {operator} ?")
                values.append(text)
        order = ("epk", "seq") if lookup.ordered is None else (_text(lookup.ordered), "epk", "seq")
        direction = " DESC" if found.descending else ""
        ordered = ", ".join(column + direction for column in order)
        live = "(expires IS NULL OR expires > ?)"
        return f"WHERE {' AND '.join(conditions)} AND {live} ORDER BY {ordered}", [*values, now]


def _prefix(width: int) -> str:
    return f"substr(epk, 1, {width:d})"


def _text(path: Path) -> str:
    steps = "".join(f'."{step}"' for step in path)
    return f"json_extract(CAST(body AS TEXT), '${steps}')"


def _read(name: str) -> Lookup:
    width, pinned, ordered = orjson.loads(bytes.fromhex(name))
    return Lookup(width, pinned and tuple(pinned), ordered and tuple(ordered))
