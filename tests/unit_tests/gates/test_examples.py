"""Examples of the API document: each operation has one, it is answered as shown, and the schemas admit it."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

import function_app
from shared.http.examples import RecordedExample, read_examples
from tests.contract.derivation import derive_steps
from tests.contract.documents import API, EXAMPLES, committed
from tests.contract.examples import Comparison, sender
from tests.contract.scenario import TENANT
from tests.support.isolation import NAMES

type Json = dict[str, Any]

KEYWORDS = {
    *("$ref", "additionalProperties", "anyOf", "const", "default", "description", "enum", "format", "items"),
    *(
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
    ),
    *("oneOf", "pattern", "properties", "propertyNames", "required", "title", "type"),
}
WRITTEN_BY = "run `python -m tests.contract`"


def operations() -> list[Json]:
    return [operation for methods in committed(API)["paths"].values() for operation in methods.values()]


def test_every_operation_has_an_example_and_only_operations_have() -> None:
    shown = [example.operation for example in read_examples(EXAMPLES).examples]
    routes = [route.name for route in function_app.runtime.routes if route.documented]

    missing = [
        f"{name}: name it in tests/support/isolation.py and {WRITTEN_BY}"
        for name in routes
        if name not in shown
    ]
    assert missing == []
    assert sorted(shown) == sorted(routes)


def test_what_the_scenario_does_not_ask_is_asked_after_what_makes_it_and_before_what_removes_it() -> None:
    derived = derive_steps(function_app.runtime.routes, scenario=())
    names = [step.operation for step in derived]

    assert sorted(names) == sorted(route.name for route in function_app.runtime.routes if route.documented)
    assert names.index("save_bot") < names.index("get_bot") < names.index("delete_bot")
    [chat] = [step for step in derived if step.operation == "chat"]
    assert (chat.caller, chat.path, chat.body["message"]) == ("user", {"bot_id": NAMES["bot_id"]}, "x")
    [revoked] = [step for step in derived if step.operation == "revoke_key"]
    assert revoked.path == {"tenant_id": TENANT, "key_id": "<key_id>"}


@pytest.mark.slow
async def test_every_example_is_answered_as_it_is_shown() -> None:
    recorded = read_examples(EXAMPLES)
    comparison = Comparison(recorded.stand_ins)
    wrong: list[str] = []
    async with sender() as sending:
        for example in recorded.examples:
            answered = await sending.send(comparison.request(example))
            wrong += comparison.differences(example, answered)

    assert wrong == [], f"where the change is meant, {WRITTEN_BY}"


def test_schemas_have_keywords_of_json_schema_alone() -> None:
    """A bound by another name, such as pydantic's `ge` of a time, tells nobody anything."""
    unknown = {
        f"{name}.{field}: {keyword}"
        for name, schema in committed(API)["components"]["schemas"].items()
        for field, kind in [("", schema), *schema.get("properties", {}).items()]
        for one in [kind, *kind.get("anyOf", ())]
        for keyword in one
        if keyword not in KEYWORDS
    }

    assert unknown == set()


def test_the_document_shows_each_example() -> None:
    examples = read_examples(EXAMPLES).by_operation()
    for operation in operations():
        example = examples[operation["operationId"]]
        sent = example.path | example.query | example.headers
        shown = {one["name"]: one["example"] for one in operation["parameters"] if "example" in one}
        assert {name: str(value).lower() for name, value in shown.items()} == {
            name: value.lower() for name, value in sent.items()
        }
        if "requestBody" in operation:
            assert operation["requestBody"]["content"]["application/json"]["example"] == example.body
        for kind, media in operation["responses"][str(example.status)].get("content", {}).items():
            shown_answer = media["example"]
            if kind == "text/event-stream":
                assert shown_answer["event"] == "done"
                shown_answer = json.loads(shown_answer["data"])
            elif kind == "application/x-ndjson":
                items = [json.loads(line) for line in shown_answer.splitlines()]
                shown_answer = {"items": items, "next_cursor": None}
            assert shown_answer == example.answer


@pytest.mark.parametrize("operation", operations(), ids=lambda one: one["operationId"])
def test_the_schemas_admit_what_is_shown(operation: Json) -> None:
    named = {"components": committed(API)["components"]}
    media = [*operation.get("requestBody", {}).get("content", {}).values()]
    media += [one for answer in operation["responses"].values() for one in answer.get("content", {}).values()]
    for shown in [*operation["parameters"], *media]:
        if "example" in shown:
            jsonschema.validate(shown["example"], shown["schema"] | named)


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ({"id": "k1", "again": "k1", "count": 1}, []),
        ({"id": "k1", "again": "k2", "count": 1}, ["get.again: 'k2' instead of 'shown'"]),
        ({"id": "k1", "again": "k1", "count": 2}, ["get.count: 2 instead of 1"]),
        ({"count": 1}, ["get: {'count': 1} instead of {'id': 'shown', 'again': 'shown', 'count': 1}"]),
    ],
)
def test_a_stand_in_means_one_thing_and_the_rest_is_compared(answer: Json, wrong: list[str]) -> None:
    shown = RecordedExample(operation="get", status=200, answer={"id": "shown", "again": "shown", "count": 1})
    answered = RecordedExample(operation="get", status=200, answer=answer)

    assert Comparison(["shown"]).differences(shown, answered) == wrong


def test_another_status_is_told_with_its_answer() -> None:
    shown = RecordedExample(operation="get", status=200)
    answered = RecordedExample(operation="get", status=404, answer="none")

    assert Comparison([]).differences(shown, answered) == ["get: 404 instead of 200: none"]
