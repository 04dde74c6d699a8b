"""The contract as the code says it, and as it is committed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.contracts import BudgetAlert, FeedbackFormIn, FeedbackFormOut, Message, ReasonerIn, ReasonerOut
from shared.http.descriptions import DescribedJsonSchema
from shared.http.examples import read_examples
from shared.http.openapi import build_openapi
from shared.version import VERSION
from tests.contract.compatibility import Direction, breaking_api_changes, breaking_message_changes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.http.route import Route

FOLDER = Path(__file__).parents[2] / "docs" / "contract"
API = FOLDER / "openapi.json"
MESSAGES = FOLDER / "messages.json"
EXAMPLES = FOLDER.parents[1] / "functions" / "ops" / "examples.json"
_QUEUES: dict[str, tuple[Direction, type[Message]]] = {
    "reasoner-in": (Direction.SENT, ReasonerIn),
    "reasoner-out": (Direction.GOT, ReasonerOut),
    "feedback-form-in": (Direction.SENT, FeedbackFormIn),
    "feedback-form-out": (Direction.GOT, FeedbackFormOut),
    "budget-alerts-out": (Direction.GOT, BudgetAlert),
}


def current_api(routes: Sequence[Route]) -> dict[str, Any]:
    """Build the OpenAPI document from the declared routes and the recorded examples."""
    examples = read_examples(EXAMPLES).by_operation()
    document: dict[str, Any] = json.loads(json.dumps(build_openapi(routes, VERSION, examples)))
    return document


def current_messages() -> dict[str, Any]:
    """Build the schema of each queue's message, with who sends it: callers, or the app."""
    return {
        queue: {
            "direction": direction.value,
            "schema": model.model_json_schema(
                mode="validation" if direction is Direction.SENT else "serialization",
                schema_generator=DescribedJsonSchema,
            ),
        }
        for queue, (direction, model) in _QUEUES.items()
    }


def committed(file: Path) -> dict[str, Any]:
    """Read a committed document."""
    document: dict[str, Any] = json.loads(file.read_text())
    return document


def breaking_changes(api: dict[str, Any], messages: dict[str, Any]) -> list[str]:
    """Compare with what is committed."""
    return [
        *breaking_api_changes(committed(API), api),
        *breaking_message_changes(committed(MESSAGES), messages),
    ]
