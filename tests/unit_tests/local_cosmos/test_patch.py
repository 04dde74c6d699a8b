"""Partial updates."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest

from local.cosmos.engine.patch import apply_patch, parse_patch
from local.cosmos.errors import CosmosError
from tests.unit_tests.local_cosmos.wire import content, message

if TYPE_CHECKING:
    from local.cosmos.values import Json, JsonObject
    from tests.unit_tests.local_cosmos.wire import Wire

ITEM: JsonObject = {"id": "1", "n": 1, "s": "x", "a": [1, 2, 3], "o": {"p": {"q": 5}}, "z": None}


def change(*operations: JsonObject) -> JsonObject:
    patched = copy.deepcopy(ITEM)
    apply_patch(patched, parse_patch({"operations": list(operations)}))
    return patched


@pytest.mark.parametrize(
    ("operation", "path", "value", "expected"),
    [
        ("add", "/new", 1, {"new": 1}),
        ("add", "/n", 9, {"n": 9}),
        ("add", "/a/0", 0, {"a": [0, 1, 2, 3]}),
        ("add", "/a/-", 4, {"a": [1, 2, 3, 4]}),
        ("add", "/a/3", 4, {"a": [1, 2, 3, 4]}),
        ("add", "/o/p/r", {"k": 1}, {"o": {"p": {"q": 5, "r": {"k": 1}}}}),
        ("set", "/new", None, {"new": None}),
        ("set", "/a/0", 9, {"a": [9, 2, 3]}),
        ("set", "/a/-", 4, {"a": [1, 2, 3, 4]}),
        ("set", "/o", 1, {"o": 1}),
        ("replace", "/s", "y", {"s": "y"}),
        ("replace", "/a/2", 9, {"a": [1, 2, 9]}),
        ("replace", "/z", 1, {"z": 1}),
        ("incr", "/n", 2, {"n": 3}),
        ("incr", "/n", -0.5, {"n": 0.5}),
        ("incr", "/new", 7, {"new": 7}),
        ("incr", "/o/p/q", 1, {"o": {"p": {"q": 6}}}),
        ("incr", "/a/1", 10, {"a": [1, 12, 3]}),
        ("Increment", "/n", 1, {"n": 2}),
        ("set", "/a~1b", 1, {"a/b": 1}),
    ],
)
def test_an_operation_changes_what_its_path_names(
    operation: str, path: str, value: Json, expected: JsonObject
) -> None:
    before = dict(ITEM)
    assert change({"op": operation, "path": path, "value": value}) == {**ITEM, **expected}
    assert before == ITEM


def test_remove_and_move() -> None:
    assert "s" not in change({"op": "remove", "path": "/s"})
    assert change({"op": "remove", "path": "/a/0"})["a"] == [2, 3]
    moved = change({"op": "move", "from": "/o/p/q", "path": "/q"})
    assert (moved["q"], moved["o"]) == (5, {"p": {}})


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        ({"op": "add", "path": "/x/y", "value": 1}, "no path found"),
        ({"op": "set", "path": "/s/y", "value": 1}, "no object or array"),
        ({"op": "add", "path": "/a/9", "value": 1}, "out of the array"),
        ({"op": "add", "path": "/a/01", "value": 1}, "out of the array"),
        ({"op": "replace", "path": "/new", "value": 1}, "does not exist"),
        ({"op": "replace", "path": "/a/3", "value": 1}, "out of the array"),
        ({"op": "remove", "path": "/new"}, "does not exist"),
        ({"op": "remove", "path": "/a/3"}, "out of the array"),
        ({"op": "incr", "path": "/s", "value": 1}, "increment a number"),
        ({"op": "incr", "path": "/z", "value": 1}, "increment a number"),
        ({"op": "incr", "path": "/n", "value": "1"}, "needs a number"),
        ({"op": "incr", "path": "/n", "value": 1e308 * 10}, "no finite number"),
        ({"op": "move", "from": "/new", "path": "/x"}, "does not exist"),
        ({"op": "move", "from": "/o", "path": "/o/p"}, "own child"),
        ({"op": "move", "from": "/s", "path": "/x/y"}, "no path found"),
        ({"op": "set", "path": "/id", "value": "2"}, "'id'"),
        ({"op": "remove", "path": "/_ts"}, "'_ts'"),
        ({"op": "move", "from": "/id", "path": "/x"}, "'id'"),
        ({"op": "set", "path": "n", "value": 1}, "invalid path"),
        ({"op": "set", "path": "/", "value": 1}, "invalid path"),
        ({"op": "set", "path": "/n"}, "needs a value"),
        ({"op": "test", "path": "/n", "value": 1}, "'test'"),
        (5, "not an object"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(operation: Json, said: str) -> None:
    with pytest.raises(CosmosError) as refused:
        apply_patch(copy.deepcopy(ITEM), parse_patch({"operations": [operation]}))
    assert refused.value.status == 400
    assert said in refused.value.message
    assert "Operation(1)" in refused.value.message


@pytest.mark.parametrize(
    "body",
    [{}, {"operations": []}, {"operations": [{"op": "incr", "path": "/n", "value": 1}] * 11}, "x"],
)
def test_a_patch_has_one_to_ten_operations(body: Json) -> None:
    with pytest.raises(CosmosError):
        parse_patch(body)


def test_a_condition_that_is_no_text_is_refused() -> None:
    with pytest.raises(CosmosError):
        parse_patch({"operations": [{"op": "incr", "path": "/n", "value": 1}], "condition": 5})


@pytest.fixture
def items(wire: Wire) -> str:
    container = wire.with_container()
    wire.create(container, {"id": "1", "pk": "p", "n": 1, "limit": 3}, "p")
    return container


def patch(wire: Wire, items: str, condition: str | None, *operations: JsonObject) -> tuple[int, str]:
    body: JsonObject = {"operations": list(operations)}
    if condition is not None:
        body["condition"] = condition
    response = wire.on_items("PATCH", f"{items}/docs/1", body, "p")
    return response.status, response.headers.get("x-ms-substatus", "")


INCREMENT: JsonObject = {"op": "incr", "path": "/n", "value": 1}


def test_a_filter_makes_the_increment_conditional(wire: Wire, items: str) -> None:
    condition = "from c where c.n + 1 <= c['limit']"
    assert patch(wire, items, condition, INCREMENT) == (200, "")
    assert patch(wire, items, condition, INCREMENT) == (200, "")
    assert patch(wire, items, condition, INCREMENT) == (412, "1110")
    assert content(wire.read(items, "1", "p"))["n"] == 3


@pytest.mark.parametrize("condition", ["where", "from c where", "c.n = 1", "SELECT VALUE COUNT(1) FROM c"])
def test_a_filter_that_is_none_is_a_400(wire: Wire, items: str, condition: str) -> None:
    assert patch(wire, items, condition, INCREMENT)[0] == 400


def test_a_failing_operation_undoes_those_before_it(wire: Wire, items: str) -> None:
    assert patch(wire, items, None, INCREMENT, {"op": "remove", "path": "/absent"})[0] == 400
    assert content(wire.read(items, "1", "p"))["n"] == 1


def test_the_partition_key_cannot_be_patched(wire: Wire, items: str) -> None:
    refused = wire.on_items(
        "PATCH", f"{items}/docs/1", {"operations": [{"op": "set", "path": "/pk", "value": "q"}]}, "p"
    )
    assert refused.status == 400
    assert "partition key" in message(refused)


def test_an_item_that_is_not_there_cannot_be_patched(wire: Wire, items: str) -> None:
    body: JsonObject = {"operations": [INCREMENT]}
    assert wire.on_items("PATCH", f"{items}/docs/2", body, "p").status == 404
