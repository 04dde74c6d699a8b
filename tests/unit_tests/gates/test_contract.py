"""The compatibility gate: the committed contract is the code's, and a breaking difference is found."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

import function_app
from tests.contract.compatibility import breaking_api_changes, breaking_message_changes
from tests.contract.documents import (
    API,
    MESSAGES,
    breaking_changes,
    committed,
    current_api,
    current_messages,
)

if TYPE_CHECKING:
    from collections.abc import Callable

type Json = dict[str, Any]


def test_nothing_breaks_the_committed_contract() -> None:
    assert breaking_changes(current_api(function_app.runtime.routes), current_messages()) == []


def test_the_committed_contract_is_up_to_date() -> None:
    """`make contract` writes it."""
    assert committed(API) == current_api(function_app.runtime.routes)
    assert committed(MESSAGES) == current_messages()


def document() -> Json:
    return {
        "paths": {
            "/notes": {
                "post": {
                    "operationId": "create_note",
                    "x-role": "user",
                    "parameters": [
                        {"name": "limit", "in": "query", "required": False, "schema": {"type": "integer"}}
                    ],
                    "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/s/NoteRequest"}}}},
                    "responses": {
                        "201": {"content": {"application/json": {"schema": {"$ref": "#/s/NoteReply"}}}},
                        "404": {},
                    },
                }
            }
        },
        "components": {
            "schemas": {
                "NoteRequest": {
                    "type": "object",
                    "properties": {
                        "text": {"type": "string", "maxLength": 100, "minLength": 1},
                        "kind": {"enum": ["a", "b"], "type": "string"},
                        "only": {"const": "a", "type": "string"},
                        "tags": {"type": "array", "items": {"type": "string"}},
                        "parent": {"anyOf": [{"$ref": "#/s/NoteRequest"}, {"type": "null"}]},
                    },
                    "required": ["text"],
                },
                "NoteReply": {
                    "type": "object",
                    "properties": {"text": {"type": "string"}, "next": {"$ref": "#/s/NoteReply"}},
                    "required": ["text"],
                },
            }
        },
    }


def operation(new: Json) -> Json:
    found: Json = new["paths"]["/notes"]["post"]
    return found


def request(new: Json) -> Json:
    found: Json = new["components"]["schemas"]["NoteRequest"]
    return found


def reply(new: Json) -> Json:
    found: Json = new["components"]["schemas"]["NoteReply"]
    return found


BREAKING: dict[str, Callable[[Json], object]] = {
    "a path removed": lambda new: new["paths"].clear(),
    "an operation renamed": lambda new: operation(new).update(operationId="add_note"),
    "a role raised": lambda new: operation(new).update({"x-role": "admin"}),
    "a parameter removed": lambda new: operation(new)["parameters"].clear(),
    "a parameter required": lambda new: operation(new)["parameters"][0].update(required=True),
    "a new required parameter": lambda new: operation(new)["parameters"].append(
        {"name": "q", "in": "query", "required": True, "schema": {}}
    ),
    "another status": lambda new: operation(new)["responses"].pop("201"),
    "no content": lambda new: operation(new)["responses"]["201"].pop("content"),
    "a request field removed": lambda new: request(new)["properties"].pop("kind"),
    "a request field required": lambda new: request(new)["required"].append("kind"),
    "a type changed": lambda new: request(new)["properties"]["text"].update(type="integer"),
    "an item's type changed": lambda new: request(new)["properties"]["tags"]["items"].update(type="integer"),
    "a length shortened": lambda new: request(new)["properties"]["text"].update(maxLength=10),
    "a minimum raised": lambda new: request(new)["properties"]["text"].update(minLength=2),
    "a pattern added": lambda new: request(new)["properties"]["text"].update(pattern="x"),
    "a choice removed": lambda new: request(new)["properties"]["kind"].update(enum=["a"]),
    "another only choice": lambda new: request(new)["properties"]["only"].update(const="b"),
    "other choices than the only one": lambda new: request(new)["properties"].update(
        only={"enum": ["b", "c"], "type": "string"}
    ),
    "a variant removed": lambda new: request(new)["properties"]["parent"]["anyOf"].pop(),
    "a reply field removed": lambda new: reply(new)["properties"].pop("text"),
    "a reply field not promised": lambda new: reply(new).update(required=[]),
    "a reply that may be null": lambda new: reply(new)["properties"]["text"].update(anyOf=[{"type": "null"}]),
}
HARMLESS: dict[str, Callable[[Json], object]] = {
    "nothing": lambda _: None,
    "a role lowered to everybody's": lambda new: operation(new).pop("x-role"),
    "a new path": lambda new: new["paths"].update({"/more": {}}),
    "a new optional request field": lambda new: request(new)["properties"].update(more={"type": "string"}),
    "a new reply field": lambda new: reply(new)["properties"].update(more={"type": "string"}),
    "a field no longer required": lambda new: request(new).update(required=[]),
    "a longer length": lambda new: request(new)["properties"]["text"].update(maxLength=1000),
    "a new choice": lambda new: request(new)["properties"]["kind"].update(enum=["a", "b", "c"]),
    "a choice beside the only one": lambda new: request(new)["properties"].update(
        only={"enum": ["a", "b"], "type": "string"}
    ),
    "a new refusal": lambda new: operation(new)["responses"].update({"429": {}}),
}


@pytest.mark.parametrize("change", BREAKING)
def test_a_breaking_change_is_found(change: str) -> None:
    new = document()
    BREAKING[change](new)

    assert len(breaking_api_changes(document(), new)) >= 1


@pytest.mark.parametrize("change", HARMLESS)
def test_a_harmless_change_passes(change: str) -> None:
    new = document()
    HARMLESS[change](new)

    assert breaking_api_changes(document(), new) == []


def test_messages_are_held_to_the_same_rules() -> None:
    old = current_messages()
    gone, stricter, poorer = copy.deepcopy(old), copy.deepcopy(old), copy.deepcopy(old)
    gone.pop("reasoner-in")
    stricter["reasoner-in"]["schema"]["required"].append("text")
    poorer["reasoner-out"]["schema"]["properties"].pop("summary")

    assert breaking_message_changes(old, gone) == ["reasoner-in: is gone"]
    assert breaking_message_changes(old, stricter) == ["reasoner-in: text: is required now"]
    assert "reasoner-out: summary: is gone" in breaking_message_changes(old, poorer)
    assert breaking_message_changes(old, old) == []
