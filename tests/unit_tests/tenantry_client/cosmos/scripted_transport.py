"""A transport whose answers are a script, and the account, the container and the client that stand on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from tenantry_client.cosmos.aio.connection_pool import LoopLock
from tenantry_client.cosmos.aio.racing import race
from tenantry_client.cosmos.answers import Answer
from tenantry_client.cosmos.client_core import ClientCore
from tenantry_client.cosmos.container_operations import ContainerOperations, ContainerState

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenantry_client.cosmos.transport import Deadlines, Place

KEY = "c2VjcmV0"
URL = "https://acme.documents.example:443/"
RID = "cont-rid"


@dataclass(frozen=True)
class Sent:
    """One request as it was on the wire."""

    place: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    deadlines: Deadlines

    def json(self) -> Any:  # noqa: ANN401 - whatever was sent
        return orjson.loads(self.body)


type Step = Answer | Exception | Callable[[Sent], Answer]


def answer(status: int = 200, body: object = None, **headers: object) -> Answer:
    """Return an answer; underscores in the names of its headers stand for hyphens."""
    raw = {name.replace("_", "-").encode(): str(value).encode() for name, value in headers.items()}
    return Answer(status, raw, b"" if body is None else orjson.dumps(body), keeps_alive=True)


def account(*regions: str, writes: str | None = None, consistency: str = "Eventual") -> dict[str, Any]:
    """Describe an account with these regions, the first of which takes writes."""

    def described(name: str) -> dict[str, str]:
        return {"name": name, "databaseAccountEndpoint": f"https://{name}.documents.example:443/"}

    names = regions or ("east",)
    return {
        "writableLocations": [described(writes or names[0])],
        "readableLocations": [described(name) for name in names],
        "userConsistencyPolicy": {"defaultConsistencyLevel": consistency},
    }


def container_properties(*paths: str, kind: str = "Hash", rid: str = RID) -> dict[str, Any]:
    """Describe a container."""
    return {
        "id": "items",
        "_rid": rid,
        "partitionKey": {"paths": paths or ("/pk",), "kind": kind, "version": 2},
    }


def physical_partitions(*lows: str) -> dict[str, Any]:
    """Describe physical partitions that begin at these keys."""
    highs = (*lows[1:], "FF")
    return {
        "PartitionKeyRanges": [
            {"id": str(number), "minInclusive": low, "maxExclusive": high}
            for number, (low, high) in enumerate(zip(lows, highs, strict=True))
        ]
    }


@dataclass
class ScriptedTransport:
    """Answers the account, the container and its partitions by themselves, all else by a script."""

    script: list[Step] = field(default_factory=list)
    account: dict[str, Any] = field(default_factory=account)
    container: dict[str, Any] = field(default_factory=container_properties)
    partitions: dict[str, Any] = field(default_factory=lambda: physical_partitions(""))
    sent: list[Sent] = field(default_factory=list)
    sleeps: list[float] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    """Paths that were answered without the script."""

    async def exchange(self, place: Place, request: bytes, deadlines: Deadlines) -> Answer:
        head, _, body = request.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = dict(line.split(": ", 1) for line in lines)
        sent = Sent(place.host, method, path, headers, body, deadlines)
        standing = {"/": self.account, "/dbs/db/colls/items": self.container}
        standing["/dbs/db/colls/items/pkranges"] = self.partitions
        if path in standing:
            self.known.append(f"{place.host}{path}")
            return self._echoed(answer(200, standing[path]), sent)
        self.sent.append(sent)
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return self._echoed(step if isinstance(step, Answer) else step(sent), sent)

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)

    def new_lock(self) -> LoopLock:
        return LoopLock()

    async def close(self) -> None:
        return None

    @staticmethod
    def _echoed(given: Answer, sent: Sent) -> Answer:
        raw = {b"x-ms-activity-id": sent.headers["x-ms-activity-id"].encode()} | given.raw_headers
        return Answer(given.status, raw, given.body, keeps_alive=True)


def state_on(transport: ScriptedTransport, **options: object) -> ContainerState:
    """Return the container `items` of the database `db` on a transport."""
    return ClientCore(URL, KEY, options, transport, race).container("db", "items")


def operations_on(transport: ScriptedTransport, **options: object) -> ContainerOperations:
    """Return the operations on that container."""
    return ContainerOperations(state_on(transport, **options))
