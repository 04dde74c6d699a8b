"""Random operations against the plainest possible model: a dict per partition."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import orjson
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.support.soak import sized
from tests.unit_tests.local_cosmos.soak import ENDPOINT
from tests.unit_tests.local_cosmos.wire import NESTED, Wire, content

if TYPE_CHECKING:
    from local.cosmos.values import Json, JsonObject
    from local.cosmos.wire.messages import Response

pytestmark = sized(120)

type Key = tuple[str, ...]
type Items = dict[tuple[Key, str], JsonObject]

# Few, so that they meet; chosen so that careless concatenation would confuse them.
KEYS = st.sampled_from([("a", "b", "a"), ("a", "b", "b"), ("ab", "", "a"), ("a", "ba", ""), ("", "ab", "a")])
IDS = st.sampled_from(["1", "2", "3"])
NUMBERS = st.integers(-5, 5)
SYSTEM = ("_rid", "_self", "_etag", "_attachments", "_ts")


def plain(item: JsonObject) -> JsonObject:
    """Take away what the service added."""
    return {name: value for name, value in item.items() if name not in SYSTEM}


class OperationStrategies:
    """Random batch operations."""

    create = st.fixed_dictionaries({"operationType": st.just("Create"), "id": IDS, "n": NUMBERS})
    upsert = st.fixed_dictionaries({"operationType": st.just("Upsert"), "id": IDS, "n": NUMBERS})
    replace = st.fixed_dictionaries({"operationType": st.just("Replace"), "id": IDS, "n": NUMBERS})
    delete = st.fixed_dictionaries({"operationType": st.just("Delete"), "id": IDS, "n": NUMBERS})
    patch = st.fixed_dictionaries({"operationType": st.just("Patch"), "id": IDS, "n": NUMBERS})
    read = st.fixed_dictionaries({"operationType": st.just("Read"), "id": IDS, "n": NUMBERS})
    batch = st.lists(st.one_of(create, upsert, replace, delete, patch, read), min_size=1, max_size=5)


class Endpoint(RuleBasedStateMachine):
    """The endpoint and its model, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.wire = Wire()
        self.items: Items = {}
        self.etags: dict[tuple[Key, str], str] = {}
        self.seen_etags: set[str] = set()
        self.container = ""

    def teardown(self) -> None:
        self.wire.store.close()

    @initialize()
    def create_container(self) -> None:
        self.container = self.wire.with_container(NESTED)

    def item(self, key: Key, item_id: str, n: int) -> JsonObject:
        a, b, c = key
        return {"id": item_id, "a": a, "b": b, "c": c, "n": n}

    def wrote(self, key: Key, item_id: str, response: Response, expected: JsonObject) -> None:
        """Compare a successful write's answer, and note the new etag."""
        answer = content(response)
        assert plain(answer) == expected
        etag = str(answer["_etag"])
        assert etag not in self.seen_etags
        self.seen_etags.add(etag)
        self.items[key, item_id] = expected
        self.etags[key, item_id] = etag

    @rule(key=KEYS, item_id=IDS, n=NUMBERS)
    def create(self, key: Key, item_id: str, n: int) -> None:
        item = self.item(key, item_id, n)
        response = self.wire.create(self.container, item, list(key))
        if (key, item_id) in self.items:
            assert response.status == 409
        else:
            assert response.status == 201
            self.wrote(key, item_id, response, item)

    @rule(key=KEYS, item_id=IDS, n=NUMBERS)
    def upsert(self, key: Key, item_id: str, n: int) -> None:
        item = self.item(key, item_id, n)
        response = self.wire.upsert(self.container, item, list(key))
        assert response.status == (200 if (key, item_id) in self.items else 201)
        self.wrote(key, item_id, response, item)

    @rule(key=KEYS, item_id=IDS, n=NUMBERS, stale=st.booleans())
    def replace_if_it_matches(self, key: Key, item_id: str, n: int, stale: bool) -> None:  # noqa: FBT001 - drawn
        item = self.item(key, item_id, n)
        etag = '"stale"' if stale else self.etags.get((key, item_id), '"none"')
        path = f"{self.container}/docs/{item_id}"
        response = self.wire.on_items("PUT", path, item, list(key), if_match=etag)
        if (key, item_id) not in self.items:
            assert response.status == 404
        elif stale:
            assert response.status == 412
        else:
            assert response.status == 200
            self.wrote(key, item_id, response, item)

    @rule(key=KEYS, item_id=IDS)
    def delete(self, key: Key, item_id: str) -> None:
        response = self.wire.on_items("DELETE", f"{self.container}/docs/{item_id}", None, list(key))
        assert response.status == (204 if (key, item_id) in self.items else 404)
        self.items.pop((key, item_id), None)
        self.etags.pop((key, item_id), None)

    @rule(key=KEYS, item_id=IDS, by=NUMBERS, limit=NUMBERS)
    def increment_below(self, key: Key, item_id: str, by: int, limit: int) -> None:
        body: JsonObject = {
            "operations": [{"op": "incr", "path": "/n", "value": by}],
            "condition": f"from c where c.n + {by} <= {limit}",
        }
        response = self.wire.on_items("PATCH", f"{self.container}/docs/{item_id}", body, list(key))
        known = self.items.get((key, item_id))
        if known is None:
            assert response.status == 404
            return
        n = known["n"]
        assert isinstance(n, int)
        if n + by > limit:
            assert response.status == 412
        else:
            assert response.status == 200
            self.wrote(key, item_id, response, {**known, "n": n + by})

    @rule(key=KEYS, operations=OperationStrategies.batch)
    def batch(self, key: Key, operations: list[dict[str, Json]]) -> None:
        after = copy.deepcopy(self.items)
        expected: list[int] = []
        for operation in operations:
            expected.append(self.expect(after, key, operation))
            if expected[-1] >= 400:
                break
        response = self.wire.batch(self.container, [self.sent(key, one) for one in operations], list(key))
        entries = orjson.loads(response.body)
        if expected[-1] >= 400:
            assert response.status == 207
            failed = len(expected) - 1
            wanted = [424] * len(operations)
            wanted[failed] = expected[-1]
            assert [entry["statusCode"] for entry in entries] == wanted
            return
        assert response.status == 200
        assert [entry["statusCode"] for entry in entries] == expected
        self.items = after
        for operation, entry in zip(operations, entries, strict=True):
            if "eTag" in entry:
                self.etags[key, str(operation["id"])] = entry["eTag"]
                self.seen_etags.add(entry["eTag"])

    def expect(self, items: Items, key: Key, operation: dict[str, Json]) -> int:
        """Apply one batch operation to the model and give its status."""
        item_id, n = str(operation["id"]), operation["n"]
        assert isinstance(n, int)
        place, kind = (key, item_id), operation["operationType"]
        there = place in items
        if kind == "Create" and there:
            return 409
        if kind in {"Replace", "Delete", "Patch", "Read"} and not there:
            return 404
        if kind == "Delete":
            del items[place]
            return 204
        if kind in {"Create", "Upsert", "Replace"}:
            items[place] = self.item(key, item_id, n)
        elif kind == "Patch":
            items[place] = {**items[place], "n": n}
        return 200 if there else 201

    def sent(self, key: Key, operation: dict[str, Json]) -> JsonObject:
        """Build the wire's form of a batch operation."""
        kind, item_id, n = operation["operationType"], str(operation["id"]), operation["n"]
        assert isinstance(n, int)
        if kind in {"Create", "Upsert"}:
            return {"operationType": kind, "resourceBody": self.item(key, item_id, n)}
        if kind == "Replace":
            return {"operationType": kind, "id": item_id, "resourceBody": self.item(key, item_id, n)}
        if kind == "Patch":
            change: JsonObject = {"operations": [{"op": "set", "path": "/n", "value": n}]}
            return {"operationType": kind, "id": item_id, "resourceBody": change}
        return {"operationType": kind, "id": item_id}

    @rule(key=KEYS)
    def delete_partition(self, key: Key) -> None:
        path = f"{self.container}/operations/partitionkeydelete"
        assert self.wire.on_items("POST", path, None, list(key)).status == 200
        for place in [place for place in self.items if place[0] == key]:
            del self.items[place]
            self.etags.pop(place, None)

    @rule(key=KEYS, length=st.integers(1, 3), low=NUMBERS, size=st.integers(1, 4), descending=st.booleans())
    def query(self, key: Key, length: int, low: int, size: int, descending: bool) -> None:  # noqa: FBT001 - drawn
        prefix = key[:length]
        direction = "DESC" if descending else "ASC"
        found = self.wire.query(
            self.container,
            f"SELECT c.a, c.b, c.c, c.id, c.n FROM c WHERE c.n >= @low ORDER BY c.n {direction}",
            {"@low": low},
            x_ms_documentdb_partitionkey=orjson.dumps(prefix).decode(),
            x_ms_documentdb_query_enablecrosspartition="False",
            x_ms_max_item_count=str(size),
        )
        wanted = [
            item
            for (other, _), item in self.items.items()
            if other[:length] == prefix and isinstance(item["n"], int) and item["n"] >= low
        ]
        assert sorted(map(orjson.dumps, map(sorted_object, found))) == sorted(
            map(orjson.dumps, map(sorted_object, wanted))
        )
        order = [item["n"] for item in found if isinstance(item, dict)]
        assert order == sorted(order, key=int_of, reverse=descending)

    @rule(key=KEYS, item_id=IDS)
    def read(self, key: Key, item_id: str) -> None:
        response = self.wire.read(self.container, item_id, list(key))
        known = self.items.get((key, item_id))
        if known is None:
            assert response.status == 404
        else:
            assert plain(content(response)) == known
            assert response.headers["etag"] == self.etags[key, item_id]

    @invariant()
    def as_many_items_as_in_the_model(self) -> None:
        if self.container:
            assert self.wire.account.catalog.all_containers()[0].table.count() == len(self.items)


def sorted_object(item: Json) -> Json:
    assert isinstance(item, dict)
    return dict(sorted(item.items()))


def int_of(value: Json) -> int:
    assert isinstance(value, int)
    return value


TestEndpoint = Endpoint.TestCase
TestEndpoint.settings = ENDPOINT
