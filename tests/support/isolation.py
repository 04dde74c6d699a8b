"""What tenant A owns and how tenant B asks for it: the cases behind every isolation test.

A new route, or a new kind of resource, is added here and nowhere else: what it needs in its path (`NAMES`), a
body that is valid (`BODIES`), and a step that gives tenant A one (`SETUP`). The suites fail until it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tests.contract.documents import API, committed

SECRET = "the-owners-words"  # noqa: S105  # nobody's password
NAMES = {
    "name": "secretprompt",
    "bot_id": "secretbot",
    "conversation_id": "secretconversation",
    "job_id": "secretjob",
    "feedback_id": "secretfeedback",
    "dead_letter_id": f"reasoner-in:{0:032x}",
    "key": "chat.default_model",
    "version": "1",
    "label": "secretlabel",
    "turn": "1",
    "model": "bot/secretbot",
    "request_id": "secretrequest",
}
"""What tenant A's resources are called, by the path parameter that asks for them."""

BODIES: dict[str, dict[str, Any]] = {
    "create_tenant": {"tenant_id": "intruder", "name": "x"},
    "update_tenant": {"name": "x"},
    "create_key": {"name": "x"},
    "rotate_key": {"overlap_seconds": 60},
    "render_prompt": {"variables": {}},
    "chat": {"message": "x", "conversation_id": NAMES["conversation_id"]},
    "create_chat_completion": {"model": "bot/secretbot", "messages": [{"role": "user", "content": "x"}]},
    "create_embeddings": {"model": "text-embedding-3-small", "input": "x"},
    "create_response": {"model": "bot/secretbot", "input": "x"},
    "cancel_response": {},
    "regenerate_answer": {},
    "rename_conversation": {"title": "mine"},
    "undo_turn": {},
    "rewind_conversation": {"turn": 1},
    "fork_conversation": {},
    "rate_turn": {"rating": "up", "comment": "mine"},
    "put_setting": {"value": "mine"},
    "save_prompt": {"template": "mine"},
    "restore_prompt": {},
    "move_prompt_label": {"version": 1},
    "batch_get_prompts": {"names": [NAMES["name"]]},
    "batch_save_prompts": {"prompts": [{"name": NAMES["name"], "template": "mine"}]},
    "batch_delete_prompts": {"names": [NAMES["name"]]},
    "save_bot": {"system_prompt": "mine"},
    "reload_bot": {},
    "accept_job": {"id": NAMES["job_id"], "text": "mine"},
    "accept_feedback": {"id": NAMES["feedback_id"], "language": "en", "text": "mine"},
    "import_feedback": {"csv": "language,text\nen,mine\n"},
    "approve_job": {"step": "reason", "approved": True, "comment": "mine"},
    "replay_dead_letter": {},
    "replay_dead_letters": {},
    "put_limits": {"concurrency": 1},
    "put_model": {"model": "gpt-4o"},
    "create_webhook": {"url": "https://hooks.example.com/mine"},
    "rotate_webhook": {},
    "lock_tokens": {"app_id": "secretapp", "token_count": 1},
    "report_tokens": {
        "app_id": "secretapp",
        "request_id": "{lock_id}",
        "prompt_tokens": 1,
        "completion_tokens": 1,
    },
    "release_tokens": {"app_id": "secretapp", "request_id": "{lock_id}"},
}
"""A valid body of each operation that takes one, by operation; `"{lock_id}"` is what tenant A's is called."""

CREATES_OWN = {
    "save_prompt",
    "save_bot",
    "accept_job",
    "accept_feedback",
    "get_setting",
    "put_setting",
    "delete_setting",
}
"""Operations on a resource of the caller's own where the caller has none of that name, or always has one."""


@dataclass(frozen=True)
class Step:
    """One call of tenant A's that makes something to steal.

    Attributes:
        operation: The operation's id.
        body: What is sent.
        learns: Names for `NAMES` that only the answer tells: path parameter by field of the answer.
    """

    operation: str
    body: dict[str, Any]
    learns: dict[str, str] = field(default_factory=dict)


SETUP = (
    Step("put_setting", {"value": SECRET}),
    Step("create_key", {"name": SECRET}, {"key_id": "key_id"}),
    Step("save_prompt", {"template": SECRET}),
    Step("move_prompt_label", {"version": 1, "reason": SECRET}),
    Step("save_bot", {"prompt": {"name": NAMES["name"]}, "description": SECRET, "llm": {"model": "gpt-4o"}}),
    Step("chat", {"message": SECRET, "conversation_id": NAMES["conversation_id"]}),
    Step("rename_conversation", {"title": SECRET}),
    Step(
        "create_response",
        {"model": "bot/secretbot", "input": SECRET, "background": True},
        {"response_id": "id"},
    ),
    Step("rate_turn", {"rating": "up", "comment": SECRET}),
    Step("accept_job", {"id": NAMES["job_id"], "text": SECRET}),
    Step("accept_feedback", {"id": NAMES["feedback_id"], "language": "en", "text": SECRET}),
    Step("import_feedback", {"csv": f"language,text\nen,{SECRET}\n"}, {"import_id": "import_id"}),
    Step("create_webhook", {"url": f"https://hooks.example.com/{SECRET}"}, {"webhook_id": "webhook_id"}),
    Step("lock_tokens", {"app_id": "secretapp", "token_count": 5}, {"lock_id": "request_id"}),
)
"""How tenant A comes to own something of everything."""

KEY_OF_A_REQUEST = "the-owners-idempotency-key"
"""What each of tenant A's Idempotency-Keys begins with; the operation's id follows."""

DEAD_LETTER = {"id": "secretletter", "taskId": SECRET, "text": SECRET}
"""A message of tenant A's that exhausted its deliveries. Only a queue's function makes it a dead letter, so
that each suite that can lets it."""

BLOB = "{tenant_id}/2026-01-31/secret.jsonl"
"""A blob of tenant A's; only a timer makes one, so that each suite that can puts it there itself."""

QUERIES = {
    "export_blob": f"name={BLOB}",
    "get_token_status": "app_id=secretapp",
}
"""What has to stand in the query of operations that require some of it."""

EMPTY_UNTIL_A_TIMER_RUNS = {"export_blob", "get_request_calls", "get_call_content"}
"""Reads of one resource that tenant A cannot have by calling routes alone, or has not switched on."""


@dataclass(frozen=True)
class Operation:
    """One documented operation that needs a credential."""

    name: str
    method: str
    template: str
    role: str
    query: tuple[str, ...]
    required: tuple[str, ...]

    @property
    def parameters(self) -> tuple[str, ...]:
        """Name the parts of the path that address something."""
        return tuple(re.findall(r"{(\w+)}", self.template))

    def body(self, names: dict[str, str]) -> dict[str, Any] | None:
        """Return a valid body that speaks of A's resources, or None where there is none."""
        body = BODIES.get(self.name)
        assert body is not None or self.method in {"GET", "DELETE"}, f"{self.name} needs a body in BODIES"
        if body is None:
            return None
        return {
            member: value.format_map(names) if isinstance(value, str) else value
            for member, value in body.items()
        }

    def needed_query(self, names: dict[str, str]) -> str:
        """Return what must stand in the query."""
        query = QUERIES.get(self.name, "")
        missing = [name for name in self.required if f"{name}=" not in query]
        assert not missing, f"{self.name} needs {missing} in QUERIES"
        return query.format_map(names)

    def address(self, names: dict[str, str]) -> dict[str, str]:
        """Pick what the path needs."""
        missing = [name for name in self.parameters if name not in names]
        assert not missing, f"{self.name} needs {missing} in NAMES"
        return {name: names[name] for name in self.parameters}


def _queried(operation: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in operation.get("parameters", ()) if one["in"] == "query"]


@cache
def operations() -> tuple[Operation, ...]:
    """Read the contract."""
    return tuple(
        Operation(
            operation["operationId"],
            method.upper(),
            path,
            operation["x-role"],
            tuple(one["name"] for one in _queried(operation)),
            tuple(one["name"] for one in _queried(operation) if one["required"]),
        )
        for path, methods in committed(API)["paths"].items()
        for method, operation in methods.items()
        if "x-role" in operation
    )


def operation(name: str) -> Operation:
    """Find one by its id."""
    return next(one for one in operations() if one.name == name)
