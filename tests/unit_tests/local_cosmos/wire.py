"""The endpoint without a socket: signed requests straight into the gateway, over a store in memory."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from local.cosmos.engine.account import Account
from local.cosmos.engine.identity import http_date
from local.cosmos.storage.database import Database
from local.cosmos.wire.authorization import EMULATOR_KEY, MasterKey
from local.cosmos.wire.gateway import Gateway
from local.cosmos.wire.messages import Request

if TYPE_CHECKING:
    from pathlib import Path

    from local.cosmos.values import Json, JsonObject
    from local.cosmos.wire.messages import Response

SIMPLE: JsonObject = {"id": "items", "partitionKey": {"paths": ["/pk"], "kind": "Hash", "version": 2}}
NESTED: JsonObject = {
    "id": "nested",
    "partitionKey": {"paths": ["/a", "/b", "/c"], "kind": "MultiHash", "version": 2},
}
START = 1_750_000_000.0


@dataclass
class FakeClock:
    """A clock that only moves when told to."""

    now: float = START

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Wire:
    """An endpoint with the database `db` and whatever containers a test creates."""

    path: Path | str = ":memory:"
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.store = Database(self.path)
        self.account = Account(self.store, self.clock)
        self.gateway = Gateway(self.account, MasterKey())
        if not self.account.catalog.databases():
            self.account.catalog.create_database("db")

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def with_container(self, properties: JsonObject | None = None, **more: Json) -> str:
        """Create a container and give its path."""
        created = self.account.catalog.create_container("db", {**(properties or SIMPLE), **more})
        return f"/dbs/db/colls/{created.name.container}"

    def call(self, method: str, path: str, body: Json = None, /, **headers: str) -> Response:
        """Send a signed request; underscores in header names stand for dashes."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.send(method, path, b"" if body is None else orjson.dumps(body), named)

    def send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Response:
        """Send a signed request with a raw body."""
        date = http_date(self.clock())
        return self.gateway.handle(
            Request(
                method, path, {"x-ms-date": date, "authorization": sign(method, path, date), **headers}, body
            )
        )

    def on_items(self, method: str, path: str, body: Json, pk: Json, **headers: str) -> Response:
        """Send a request with a partition key; a list is the whole key."""
        key = pk if isinstance(pk, list) else [pk]
        return self.call(
            method, path, body, x_ms_documentdb_partitionkey=orjson.dumps(key).decode(), **headers
        )

    def create(self, container: str, item: JsonObject, pk: Json, **headers: str) -> Response:
        """Create an item."""
        return self.on_items("POST", f"{container}/docs", item, pk, **headers)

    def upsert(self, container: str, item: JsonObject, pk: Json, **headers: str) -> Response:
        """Create or replace an item."""
        return self.create(container, item, pk, x_ms_documentdb_is_upsert="True", **headers)

    def read(self, container: str, item_id: str, pk: Json, **headers: str) -> Response:
        """Read an item."""
        return self.on_items("GET", f"{container}/docs/{item_id}", None, pk, **headers)

    def batch(self, container: str, operations: list[JsonObject], pk: Json, /, **headers: str) -> Response:
        """Run a transactional batch."""
        return self.on_items(
            "POST",
            f"{container}/docs",
            list(operations),
            pk,
            x_ms_cosmos_is_batch_request="True",
            x_ms_cosmos_batch_atomic="True",
            **headers,
        )

    def page(
        self, container: str, text: str, parameters: JsonObject | None = None, /, **headers: str
    ) -> Response:
        """Send one query request."""
        given: list[Json] = [{"name": name, "value": value} for name, value in (parameters or {}).items()]
        return self.call(
            "POST",
            f"{container}/docs",
            {"query": text, "parameters": given},
            x_ms_documentdb_isquery="True",
            content_type="application/query+json",
            **headers,
        )

    def query(
        self, container: str, text: str, parameters: JsonObject | None = None, /, **headers: str
    ) -> list[Json]:
        """Run a query over all partitions, or in what the headers say, to its end."""
        headers.setdefault("x_ms_documentdb_query_enablecrosspartition", "True")
        results: list[Json] = []
        while True:
            response = self.page(container, text, parameters, **headers)
            assert response.status == 200, response.body
            found = documents(response)
            results.extend(found)
            token = response.headers.get("x-ms-continuation")
            if token is None:
                return results
            headers["x_ms_continuation"] = token


def sign(method: str, path: str, date: str, key: str = EMULATOR_KEY) -> str:
    """Sign a request as the protocol's documentation says, independently of the endpoint's own code."""
    segments = path.strip("/").split("/") if path.strip("/") else []
    if len(segments) > 1 and segments[1].endswith("=="):  # by resource id
        owner = segments[:-1] if len(segments) % 2 else segments
        kind, link = (segments[-1] if len(segments) % 2 else segments[-2]), owner[-1].lower()
    elif segments[-2:] == ["operations", "partitionkeydelete"]:
        kind, link = "colls", "/".join(segments[:-2])
    elif segments[:1] == ["offers"] and len(segments) > 1:
        kind, link = "offers", segments[1].lower()
    elif len(segments) % 2:
        kind, link = segments[-1], "/".join(segments[:-1])
    else:
        kind, link = (segments[-2] if segments else ""), "/".join(segments)
    text = f"{method.lower()}\n{kind}\n{link}\n{date.lower()}\n\n"
    digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
    signature = base64.b64encode(digest).decode().replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    return f"type%3Dmaster%26ver%3D1.0%26sig%3D{signature}"


def documents(response: Response) -> list[Json]:
    """Give the items of a page."""
    found = orjson.loads(response.body)["Documents"]
    assert isinstance(found, list)
    return found


def content(response: Response) -> JsonObject:
    """Give a response's object."""
    found = orjson.loads(response.body)
    assert isinstance(found, dict)
    return found


def message(response: Response) -> str:
    """Give what an error says."""
    return str(content(response)["message"])
