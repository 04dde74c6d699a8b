"""Indexes of texts: the same results as without them, and far fewer items read."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.cosmos.engine.indexed_search import FEW_ITEMS, MANY_ITEMS
from local.cosmos.storage.lookups import MOST_LOOKUPS, Lookup
from tests.support.soak import sized
from tests.unit_tests.local_cosmos.soak import ENDPOINT
from tests.unit_tests.local_cosmos.wire import NESTED, SIMPLE, Wire, documents

if TYPE_CHECKING:
    from pathlib import Path

    from local.cosmos.values import Json, JsonObject

pytestmark = sized(120)

WAITS = "c.job.place = 'held'"
JOBS = MANY_ITEMS + 200
FIRST = f"SELECT c.id FROM c WHERE {WAITS} ORDER BY c.turn OFFSET 0 LIMIT 4"

VALUES = st.one_of(
    st.sampled_from(["a", "b", "é", "{", "[1]", "a\0b", ""]), st.sampled_from([None, True, 1, 2.5])
)
STRUCTURES = st.sampled_from([[1], {"x": 1}, ["a"]])
ITEM = st.fixed_dictionaries(
    {"a": st.sampled_from(["t1", "t2"]), "b": st.sampled_from(["u", "v"])},
    optional={"p": VALUES, "q": VALUES | STRUCTURES},
)
FILTERS = st.sampled_from(
    [
        "c.p = 'a'",
        "c.p IN ('a', 'b')",
        "c.p IN ('a', 1)",
        "(c.p = 'b' OR c.p = 'é') AND c.q >= 'a'",
        "c.p = 'a' AND 'b' >= c.q AND c.q > 'a'",
        "c.p = '{' AND c.q < 'é'",
        "c.p = 'a' OR c.b = 'u'",
        "c.q <= 'b'",
        "NOT (c.p = 'a')",
    ]
)
ORDERS = st.sampled_from(["", " ORDER BY c.q", " ORDER BY c.q DESC", " ORDER BY c.q OFFSET 1 LIMIT 3"])
LOOKUPS = st.sampled_from([(("p",), ("q",)), (("p",), None), (None, ("q",)), (("b",), ("q",))])
PARTITION: list[Json] = ["t1", "jobs", None]
KEYS: list[list[Json]] = [["t1"], ["t1", "u"], ["t2", "v", None]]


def fill(wire: Wire, items: list[JsonObject]) -> str:
    """Store items in a container whose keys have three levels; give its path."""
    path = wire.with_container(NESTED, indexingPolicy={"includedPaths": [{"path": "/*"}, {"path": "/q/?"}]})
    for number, item in enumerate(items):
        wire.create(path, {**item, "id": f"i{number}", "c": None}, [item["a"], item["b"], None])
    return path


def within(key: list[Json], size: int = 100) -> dict[str, str]:
    """Give the headers that keep a query to a key or a prefix of keys."""
    return {
        "x_ms_documentdb_partitionkey": orjson.dumps(key).decode(),
        "x_ms_max_item_count": str(size),
        "x_ms_documentdb_query_enablecrosspartition": "False",
    }


@ENDPOINT
@given(
    st.lists(ITEM, max_size=14),
    st.sampled_from(KEYS),
    FILTERS,
    ORDERS,
    st.sets(LOOKUPS, min_size=1),
    st.integers(1, 6),
)
def test_an_index_changes_no_result(  # noqa: PLR0913, PLR0917  # what is drawn
    items: list[JsonObject],
    key: list[Json],
    where: str,
    order: str,
    lookups: set[tuple[tuple[str, ...] | None, tuple[str, ...] | None]],
    size: int,
) -> None:
    text = f"SELECT VALUE c.id FROM c WHERE {where}{order}"
    with closing(Wire()) as plain, closing(Wire()) as indexed:
        path = fill(plain, items)
        fill(indexed, items)
        (container,) = indexed.account.catalog.all_containers()
        for lookup in lookups:
            container.table.lookups.add(Lookup(16 * len(key), *lookup))
        asked = within(key, size)
        assert indexed.query(path, text, **asked) == plain.query(path, text, **asked)


@pytest.fixture
def queue(wire: Wire) -> str:
    """A tenant's jobs: most wait for a place, a few have one, the rest is done."""
    path = wire.with_container(NESTED)
    for first in range(0, JOBS, 100):
        wire.batch(path, [creation(number) for number in range(first, first + 100)], PARTITION)
    return path


def creation(number: int) -> JsonObject:
    """Describe that a job is created."""
    place = "taken" if number % 150 == 0 else "held"
    job: JsonObject = {"turn": f"{2_000 - number:05d}", "job": {"place": place}, "status": "queued"}
    item: JsonObject = {"id": str(number), "a": "t1", "b": "jobs", "c": None, **job}
    return {"operationType": "Create", "resourceBody": item}


def read_for(wire: Wire, path: str, text: str) -> tuple[list[Json], int]:
    """Return a page's items, and how many were read for it."""
    page = wire.page(path, text, x_ms_documentdb_populatequerymetrics="True", **within(["t1"]))
    metrics = dict(part.split("=") for part in page.headers["x-ms-documentdb-query-metrics"].split(";"))
    return documents(page), int(metrics["retrievedDocumentCount"])


def test_few_of_many_are_found_by_an_index_from_the_second_time_on(wire: Wire, queue: str) -> None:
    text = "SELECT c.id FROM c WHERE c.job.place = 'taken' AND c.status = 'queued'"
    scanned, found = read_for(wire, queue, text), read_for(wire, queue, text)
    assert (scanned[1], found[1]) == (JOBS, 4)
    assert found[0] == scanned[0] == [{"id": str(number)} for number in (0, 150, 300, 450)]


def test_the_first_of_an_order_are_found_without_the_rest(wire: Wire, queue: str) -> None:
    scanned, found = read_for(wire, queue, FIRST), read_for(wire, queue, FIRST)
    assert (scanned[1], found[1]) == (JOBS, 4)
    assert found[0] == scanned[0] == [{"id": str(number)} for number in (499, 498, 497, 496)]


def test_an_order_up_to_a_text_reads_no_further(wire: Wire, queue: str) -> None:
    upto = FIRST.replace("ORDER", "AND c.turn <= '01502' ORDER").replace("LIMIT 4", "LIMIT 8")
    read_for(wire, queue, FIRST)
    assert read_for(wire, queue, upto) == ([{"id": str(number)} for number in (499, 498)], 2)


def test_an_index_knows_what_is_written_after_it(wire: Wire, queue: str) -> None:
    read_for(wire, queue, FIRST)
    late: JsonObject = {
        "id": "late",
        "a": "t1",
        "b": "jobs",
        "c": None,
        "turn": "00001",
        "job": {"place": "held"},
    }
    wire.create(queue, late, PARTITION)
    assert read_for(wire, queue, FIRST)[0][0] == {"id": "late"}
    wire.upsert(queue, {**late, "job": {"place": "taken"}}, PARTITION)
    assert read_for(wire, queue, FIRST)[0][0] == {"id": "499"}


def test_what_most_items_have_is_scanned_for_in_the_order_of_the_scan(wire: Wire, queue: str) -> None:
    (container,) = wire.account.catalog.all_containers()
    container.table.lookups.add(Lookup(16, ("job", "place"), None))
    text = "SELECT TOP 3 c.id FROM c WHERE c.job.place IN ('held', 'taken')"
    assert MANY_ITEMS > FEW_ITEMS
    assert read_for(wire, queue, text)[1] < 10


def test_indexes_are_kept_with_the_file_and_are_bounded(tmp_path: Path) -> None:
    lookups = [Lookup(16, (f"p{number}",), ("q",)) for number in range(MOST_LOOKUPS + 2)]
    with closing(Wire(tmp_path / "store")) as wire:
        wire.with_container()
        for lookup in lookups:
            wire.account.catalog.all_containers()[0].table.lookups.add(lookup)
    with closing(Wire(tmp_path / "store")) as wire:
        assert wire.account.catalog.all_containers()[0].table.lookups.known == set(lookups[:MOST_LOOKUPS])


def test_a_property_with_an_odd_name_gets_no_index(wire: Wire) -> None:
    path = wire.with_container(SIMPLE)
    for number in range(MANY_ITEMS):
        wire.create(path, {"id": str(number), "pk": "p", "it's": "x" if number else "y"}, "p")
    assert wire.query(path, """SELECT VALUE c.id FROM c WHERE c["it's"] = 'y'""", **within(["p"])) == ["0"]
    assert not wire.account.catalog.all_containers()[0].table.lookups.known
