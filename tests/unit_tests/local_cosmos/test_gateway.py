"""Authorization, limits and faults."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import orjson
import pytest

from local.cosmos.engine.identity import http_date
from local.cosmos.wire.messages import Request
from tests.unit_tests.local_cosmos.wire import content, message, sign

if TYPE_CHECKING:
    from local.cosmos.values import JsonObject
    from tests.unit_tests.local_cosmos.wire import Wire

OTHER_KEY = "AAAAAAAA" + "A" * 78 + "=="


@pytest.fixture
def items(wire: Wire) -> str:
    container = wire.with_container()
    wire.create(container, {"id": "1", "pk": "p"}, "p")
    return container


@pytest.mark.parametrize(
    "token",
    [
        None,
        "",
        "nonsense",
        "type%3Dmaster%26ver%3D1.0%26sig%3D",
        "type%3Daad%26ver%3D1.0%26sig%3Dtoken",
        "type%3Dresource%26ver%3D1%26sig%3Dx",
        "type%3Dmaster%26ver%3D1.0%26sig%3D%C3%A9",
        sign("GET", "/dbs/db", http_date(0)),
        sign("DELETE", "/dbs/db", http_date(1)),
        sign("GET", "/dbs/other", http_date(1)),
        sign("GET", "/dbs/db", http_date(1), OTHER_KEY),
    ],
)
def test_a_request_that_is_not_signed_for_what_it_asks_is_a_401(wire: Wire, token: str | None) -> None:
    headers = {"x-ms-date": http_date(1)} | ({} if token is None else {"authorization": token})
    refused = wire.gateway.handle(Request("GET", "/dbs/db", headers))
    assert (refused.status, content(refused)["code"]) == (401, "Unauthorized")
    right = {"x-ms-date": http_date(1), "authorization": sign("GET", "/dbs/db", http_date(1))}
    assert wire.gateway.handle(Request("GET", "/dbs/db", right)).status == 200


def test_a_token_may_be_quoted_in_any_way(wire: Wire) -> None:
    token = sign("GET", "/dbs/db", http_date(1))
    fields = unquote(token).split("&")
    spellings = [token, re.sub("%..", lambda one: one[0].lower(), token), unquote(token)]
    spellings += [quote("&".join(reversed(fields))), f"{token}%26more%3D1", token.replace("%3D", "%3d", 1)]
    spellings += [token.removesuffix("%3D") + "%253D"]

    for spelled in spellings:
        headers = {"x-ms-date": http_date(1), "authorization": spelled}
        assert wire.gateway.handle(Request("GET", "/dbs/db", headers)).status == 200, spelled


def test_names_are_signed_as_they_are_written(wire: Wire) -> None:
    assert wire.call("POST", "/dbs", {"id": "Größe B"}).status == 201
    assert wire.call("GET", "/dbs/Größe B").status == 200


def test_an_answer_carries_the_clients_activity_id_or_its_own(wire: Wire, items: str) -> None:
    assert wire.read(items, "1", "p", x_ms_activity_id="mine").headers["x-ms-activity-id"] == "mine"
    assert len(wire.read(items, "1", "p").headers["x-ms-activity-id"]) == 36
    assert "ActivityId: mine" in message(wire.read(items, "2", "p", x_ms_activity_id="mine"))


def limit(wire: Wire, body: JsonObject) -> int:
    return wire.call("PUT", "/_local/throughput", body).status


def test_a_limit_answers_429_until_the_budget_is_back(wire: Wire, items: str) -> None:
    assert limit(wire, {"container": "db/items", "ru_per_second": 10}) == 200
    statuses = [wire.upsert(items, {"id": "2", "pk": "p"}, "p").status for _ in range(4)]
    assert statuses[:2] == [201, 200]
    assert statuses[-1] == 429
    throttled = wire.read(items, "1", "p")
    assert (throttled.status, throttled.headers["x-ms-substatus"]) == (429, "3200")
    wait = int(throttled.headers["x-ms-retry-after-ms"])
    assert 0 < wait < 1000
    wire.clock.advance((wait - 3) / 1000)
    assert wire.read(items, "1", "p").status == 429
    wire.clock.advance(3 / 1000)
    assert wire.read(items, "1", "p").status == 200


def test_a_refused_request_costs_as_well_and_a_limit_can_be_switched_off(wire: Wire, items: str) -> None:
    limit(wire, {"container": "db/items", "ru_per_second": 1})
    assert wire.read(items, "absent", "p").status == 404
    assert wire.read(items, "1", "p").status == 429
    assert content(wire.call("GET", "/_local/throughput")) == {"limits": {"db/items": 1}}
    assert limit(wire, {"container": "db/items", "ru_per_second": None}) == 200
    assert wire.read(items, "1", "p").status == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"container": "items", "ru_per_second": 1}, 400),
        ({"container": "db/items", "ru_per_second": 0}, 400),
        ({"container": "db/items", "ru_per_second": True}, 400),
        ({"container": "db/absent", "ru_per_second": 1}, 404),
    ],
)
def test_a_limit_that_is_none_is_refused(wire: Wire, items: str, body: JsonObject, status: int) -> None:
    assert items
    assert limit(wire, body) == status


def fault(wire: Wire, body: JsonObject) -> int:
    return wire.call("POST", "/_local/faults", body).status


def test_a_fault_hits_what_it_names_as_often_as_it_says(wire: Wire, items: str) -> None:
    assert (
        fault(wire, {"operation": "read", "container": "db/items", "status": 503, "skip": 1, "count": 2})
        == 201
    )
    assert wire.upsert(items, {"id": "1", "pk": "p"}, "p").status == 200
    statuses = [wire.read(items, "1", "p").status for _ in range(4)]
    assert statuses == [200, 503, 503, 200]


def test_a_429_tells_how_long_to_wait(wire: Wire, items: str) -> None:
    fault(wire, {"status": 429, "substatus": 3200, "retry_after_ms": 7})
    hit = wire.read(items, "1", "p")
    assert (hit.status, hit.headers["x-ms-retry-after-ms"], hit.headers["x-ms-substatus"]) == (
        429,
        "7",
        "3200",
    )


def test_a_fault_hides_the_answer_of_a_write_that_happened_only_if_it_says_so(wire: Wire, items: str) -> None:
    fault(wire, {"operation": "upsert", "status": 408})
    assert wire.upsert(items, {"id": "before", "pk": "p"}, "p").status == 408
    assert wire.read(items, "before", "p").status == 404
    fault(wire, {"operation": "upsert", "status": 408, "after": True})
    assert wire.upsert(items, {"id": "after", "pk": "p"}, "p").status == 408
    assert wire.read(items, "after", "p").status == 200


def test_a_dropped_connection_and_a_delay_are_left_to_the_server(wire: Wire, items: str) -> None:
    fault(wire, {"operation": "delete", "drop": True, "after": True})
    dropped = wire.on_items("DELETE", f"{items}/docs/1", None, "p")
    assert dropped.drop
    assert wire.read(items, "1", "p").status == 404
    fault(wire, {"operation": "query", "delay_ms": 250})
    delayed = wire.page(items, "SELECT * FROM c", x_ms_documentdb_partitionkey='["p"]')
    assert (delayed.status, delayed.delay_s, delayed.drop) == (200, 0.25, False)
    fault(wire, {"operation": "read", "delay_ms": 1})
    assert wire.read(items, "absent", "p").status == 404


@pytest.mark.parametrize(
    ("operation", "request_line", "headers"),
    [
        ("account", "GET /", {}),
        ("database", "GET /dbs/db", {}),
        ("container", "GET /dbs/db/colls/items", {}),
        ("pkranges", "GET /dbs/db/colls/items/pkranges", {}),
        ("offer", "GET /offers", {}),
        ("list", "GET /dbs/db/colls/items/docs", {}),
        ("change_feed", "GET /dbs/db/colls/items/docs", {"a-im": "Incremental feed"}),
        ("batch", "POST /dbs/db/colls/items/docs", {"x-ms-cosmos-is-batch-request": "True"}),
        ("replace", "PUT /dbs/db/colls/items/docs/1", {}),
        ("patch", "PATCH /dbs/db/colls/items/docs/1", {}),
        ("create", "POST /dbs/db/colls/items/docs", {}),
        ("partition_delete", "POST /dbs/db/colls/items/operations/partitionkeydelete", {}),
    ],
)
def test_every_operation_can_be_named(
    wire: Wire, items: str, operation: str, request_line: str, headers: dict[str, str]
) -> None:
    assert items
    method, path = request_line.split(" ")
    fault(wire, {"operation": operation, "status": 449, "count": None})
    assert wire.send(method, path, b"{}", headers).status == 449
    assert wire.call("GET", "/" if operation == "database" else "/dbs").status == 200


def test_faults_are_listed_and_cleared(wire: Wire, items: str) -> None:
    fault(wire, {"status": 503, "count": None})
    assert wire.read(items, "1", "p").status == 503
    (rule,) = orjson.loads(wire.call("GET", "/_local/faults").body)["faults"]
    assert rule["hits"] == 1
    assert wire.call("DELETE", "/_local/faults").status == 204
    assert wire.read(items, "1", "p").status == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"status": 200},
        {"status": "503"},
        {"status": True},
        {"operation": "frobnicate", "status": 503},
        {"container": 5, "status": 503},
        {"drop": "yes"},
        {"delay_ms": -1},
        {"satus": 503},
    ],
)
def test_a_fault_that_is_none_is_refused(wire: Wire, body: JsonObject) -> None:
    assert fault(wire, body) == 400


def test_other_local_routes_do_not_exist(wire: Wire) -> None:
    assert wire.call("GET", "/_local/anything").status == 404


def test_links_of_resource_ids_lead_to_the_same_things(wire: Wire, items: str) -> None:
    item = content(wire.read(items, "1", "p"))
    link = f"/{item['_self']}"
    read = wire.on_items("GET", link, None, "p")
    assert (read.status, content(read)) == (200, item)
    container = content(wire.call("GET", items))
    assert content(wire.call("GET", f"/{container['_self']}")) == container
    created = wire.create(f"/{container['_self']}".rstrip("/"), {"id": "2", "pk": "p"}, "p")
    assert created.status == 201
    assert wire.on_items("PUT", link, {**item, "n": 5}, "p").status == 200
    assert content(wire.read(items, "1", "p"))["n"] == 5


def test_a_resource_id_never_leads_into_another_partition(wire: Wire, items: str) -> None:
    link = f"/{content(wire.read(items, '1', 'p'))['_self']}"
    wire.create(items, {"id": "1", "pk": "q"}, "q")
    assert wire.on_items("GET", link, None, "q").status == 404
    assert wire.on_items("DELETE", link, None, "q").status == 404
    wire.on_items("DELETE", link, None, "p")
    assert wire.on_items("GET", link, None, "p").status == 404


@pytest.mark.parametrize("rid", ["x", "AAAAAYAAAAEBAAAAAAAAAA==x", "AAAAAYAAAAH---------8w==", "AAAAAQ=="])
def test_a_resource_id_that_is_none_is_a_404(wire: Wire, items: str, rid: str) -> None:
    container = str(content(wire.call("GET", items))["_self"])
    assert wire.on_items("GET", f"/{container}docs/{rid}", None, "p").status == 404
    assert wire.call("GET", "/dbs/AAAA9Q==").status == 404
    assert wire.call("GET", "/dbs/AAAAAQ==/colls/AAAAAYAAAPE=/docs").status == 404


def test_a_database_may_be_called_as_a_resource_id_is_written(wire: Wire) -> None:
    assert wire.call("POST", "/dbs", {"id": "database"}).status == 201
    assert wire.call("GET", "/dbs/database").status == 200
