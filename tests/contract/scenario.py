"""Scenario of the API document's examples: one request to each operation, in an order that makes them work.

A route that has no step here gets one by `tests.contract.derivation`, after all of these. `<name>` in a
request stands for what an answer before it has told (`learns`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import azure.functions as func

from functions.chat.openai.responses.response_ids import ResponseId
from functions.reasoning.messages import request_message
from functions.reasoning.stored_models import REASONING
from shared.contracts import Usage
from shared.errors import ConflictError
from shared.http.idempotency import KeyedRequest
from shared.jobs.models import JobDelay, JobStep
from shared.jobs.repository import JobRepository
from shared.llm.call_content import prefix_of
from shared.llm.chat_model import Completion
from shared.messaging.quarantine import RefusedMessage
from shared.tenancy.context import Role
from tests.support.fakes import Call, tenant_context
from tests.support.openai_answers import passed_completion
from tests.unit_tests.messaging.deliveries import FakeDelivery

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from shared.llm.chat_model import ChatPrompt
    from tests.support.whole_app import WholeApp

ADMIN = "admin"
TENANT_ADMIN = "tenant_admin"
USER = "user"
TENANT = "acme"
_REMOVED = "acme-trial"
_SHIPPED = f"{TENANT}/2026-01-31/103001000000-5f2b61c38e0d49a7b1f6c20d7e9a4385.jsonl"
_ANALYSIS = {
    "ai_hashtag": "#search-speed",
    "hashtag": "#performance",
    "category": "complaint",
    "summary": "The new search is slow; Ann Smith wants to be called.",
    "personal_data": [{"kind": "name", "text": "Ann Smith"}],
}
_ANSWER = "You can change your password under Settings, Security."


@dataclass(frozen=True)
class Step:
    """One request.

    Attributes:
        operation: The operation's id.
        caller: The role of who sends it; None where no key is needed.
        learns: Names for the requests that follow: name by the answer's field.
        shows: The members of the answer that are shown; all of them where empty.
    """

    operation: str
    caller: str | None
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    learns: Mapping[str, str] = field(default_factory=dict)
    shows: tuple[str, ...] = ()


_TENANT = {"tenant_id": TENANT}
_PROMPT = {"name": "greeting"}
_BOT = {"bot_id": "support"}
_CHAT = _BOT | {"conversation_id": "ticket-4711"}
_RESPONSE = {"response_id": "<response>"}
_KEY_OF_QUEUED = "ticket-4714"
_QUEUED_RESPONSE = str(
    ResponseId.new(KeyedRequest("create_response", _KEY_OF_QUEUED, ()).derived_id(tenant_context(TENANT)))
)
_SETTING = {"key": "chat.default_model"}

_HEALTH = (
    Step("health_live", None),
    Step("health_ready", None),  # before anything is cached: the counts depend on timing
)
_TENANTS = (
    Step(
        "create_tenant",
        ADMIN,
        headers={"Idempotency-Key": "signup-4711"},
        body={"tenant_id": TENANT, "name": "Acme Ltd", "tier": "standard"},
        learns={"tenant": "etag"},
    ),
    Step("list_tenants", ADMIN, query={"limit": "20"}),
    Step("get_tenant", TENANT_ADMIN, _TENANT),
    Step("list_keys", TENANT_ADMIN, _TENANT, {"limit": "20"}),  # while there is one: ids have no order
    Step("export_tenant", TENANT_ADMIN, _TENANT, {"limit": "2"}),
    Step(
        "update_tenant", ADMIN, _TENANT, headers={"If-Match": "<tenant>"}, body={"name": "Acme Incorporated"}
    ),
    Step("get_me", USER),
    Step(
        "create_key",
        TENANT_ADMIN,
        _TENANT,
        body={"name": "helpdesk server", "role": "user", "expires_at": "2027-01-31T00:00:00Z"},
        learns={"key_id": "key_id"},
    ),
    Step(
        "rotate_key",
        TENANT_ADMIN,
        _TENANT | {"key_id": "<key_id>"},
        body={"overlap_seconds": 3600},
    ),
    Step("revoke_key", TENANT_ADMIN, _TENANT | {"key_id": "<key_id>"}),
)
_SETTINGS = (
    Step("describe_setting_forms", TENANT_ADMIN),
    Step("put_setting", TENANT_ADMIN, _SETTING, body={"value": "gpt-4o-mini"}, learns={"setting": "etag"}),
    Step("get_setting", TENANT_ADMIN, _SETTING),
    Step("list_settings", TENANT_ADMIN, query={"limit": "20"}),
    Step("delete_setting", TENANT_ADMIN, _SETTING, headers={"If-Match": "<setting>"}),
)
_MODEL = {"name": "our-gpt"}
_MODELS = (
    Step(
        "put_model",
        ADMIN,
        _MODEL,
        body={
            "model": "gpt-4o",
            "base_url": "https://contoso-sweden.openai.azure.com",
            "deployment": "gpt-4o-eu",
            "fallbacks": ["gpt-4o"],
        },
        learns={"model": "etag"},
    ),
    Step("list_models", USER, query={"prefix": "our-", "limit": "20"}),
    Step("delete_model", ADMIN, _MODEL, headers={"If-Match": "<model>"}),
)
_PROMPTS = (
    Step(
        "save_prompt",
        TENANT_ADMIN,
        _PROMPT,
        body={
            "template": "You answer for {company}. Be brief.",
            "description": "Instructions of the support bot",
            "tags": ["support"],
            "declared_variables": {"company": {"description": "Whom it answers for", "default": "Acme"}},
            "reason": "first words",
        },
        learns={"prompt": "etag"},
    ),
    Step(
        "batch_save_prompts",
        TENANT_ADMIN,
        body={
            "prompts": [
                {**_PROMPT, "template": "You answer for {company}. Be brief and kind.", "reason": "kinder"},
                {"name": "farewell", "template": "Thank you for asking {company}."},
                {"name": "broken", "template": "Hello {first name}"},
            ]
        },
    ),
    Step("batch_get_prompts", USER, body={"names": ["farewell", "unknown"]}),
    Step("get_prompt", USER, _PROMPT, {"fresh": "true"}),
    Step("list_prompts", USER, query={"prefix": "g", "tag": "support"}),
    Step(
        "move_prompt_label",
        TENANT_ADMIN,
        _PROMPT | {"label": "production"},
        body={"version": 1, "reason": "go live"},
        learns={"prompt": "etag"},
    ),
    Step("list_prompt_labels", USER, _PROMPT),
    Step("render_prompt", USER, _PROMPT, {"label": "production"}, body={"variables": {"company": "Acme"}}),
    Step("list_prompt_versions", USER, _PROMPT),
    Step("get_prompt_version", USER, _PROMPT | {"version": "1"}),
    Step("diff_prompt", USER, _PROMPT, {"from": "production", "to": "latest"}),
    Step(
        "remove_prompt_label",
        TENANT_ADMIN,
        _PROMPT | {"label": "production"},
        headers={"If-Match": "<prompt>"},
    ),
    Step("delete_prompt", TENANT_ADMIN, _PROMPT, {"reason": "unused"}),
    Step("restore_prompt", TENANT_ADMIN, _PROMPT, {"reason": "still used"}),
    Step("get_prompt_history", USER, _PROMPT, {"limit": "3"}),
    Step("batch_delete_prompts", TENANT_ADMIN, query={"reason": "tidying up"}, body={"names": ["farewell"]}),
)
_CHATS = (
    Step(
        "save_bot",
        TENANT_ADMIN,
        _BOT,
        body={
            "llm": {"model": "gpt-4o", "temperature": 0.2, "max_output_tokens": 400},
            "system_prompt": "You answer questions about Acme's helpdesk.",
            "memory": {"type": "buffer", "max_tokens": 4000},
            "limits": {"max_message_characters": 20000, "turns_per_minute": 30},
            "description": "Acme's helpdesk",
            "tags": ["support"],
        },
    ),
    Step("get_bot", USER, _BOT),
    Step("list_bots", USER),
    Step("reload_bot", TENANT_ADMIN, _BOT),
    Step(
        "chat",
        USER,
        _BOT,
        headers={"Idempotency-Key": "ticket-4711-1"},
        body={
            "message": "How do I change my password?",
            "conversation_id": _CHAT["conversation_id"],
            "user_id": "ann@example.com",
        },
    ),
    Step(
        "create_chat_completion",
        USER,
        headers={"Idempotency-Key": "ticket-4712"},
        body={
            "model": "bot/support",
            "messages": [{"role": "user", "content": "How do I change my password?"}],
            "max_completion_tokens": 300,
            "user": "ann@example.com",
        },
    ),
    Step(
        "create_embeddings",
        USER,
        body={"model": "text-embedding-3-small", "input": ["How do I change my password?"], "dimensions": 2},
    ),
    Step(
        "create_response",
        USER,
        headers={"Idempotency-Key": "ticket-4713"},
        body={"model": "bot/support", "input": "How do I change my password?", "user": "ann@example.com"},
        learns={"response": "id"},
    ),
    Step("get_response", USER, _RESPONSE),
    Step("list_response_input_items", USER, _RESPONSE),
    Step("delete_response", USER, _RESPONSE),
    Step("cancel_response", USER, {"response_id": _QUEUED_RESPONSE}),
    Step("list_usable_models", USER),
    Step("get_usable_model", USER, {"model": "bot/support"}),
    Step("list_conversations", USER, _BOT),
    Step("get_conversation", USER, _CHAT),
    Step("rename_conversation", USER, _CHAT, body={"title": "Password"}, learns={"conversation": "etag"}),
    Step(
        "regenerate_answer",
        USER,
        _CHAT,
        headers={"Idempotency-Key": "ticket-4711-2", "If-Match": "<conversation>"},
        body={},
    ),
    Step(
        "rate_turn",
        USER,
        _CHAT | {"turn": "2"},
        body={"rating": "down", "comment": "Where is that?"},
    ),
    Step("fork_conversation", USER, _CHAT, headers={"Idempotency-Key": "ticket-4711-3"}, body={"turn": 2}),
    Step("undo_turn", USER, _CHAT, headers={"Idempotency-Key": "ticket-4711-4"}),
    Step("rewind_conversation", USER, _CHAT, body={"turn": 0}),
    Step("export_conversation", USER, _CHAT),
    Step("delete_conversation", USER, _CHAT),
    Step("delete_bot", TENANT_ADMIN, _BOT),
)
_CALLBACK = "https://helpdesk.example.com/hooks/jobs?source=tenantry"
_WEBHOOK = {"webhook_id": "<webhook>"}
_WEBHOOKS = (
    Step(
        "create_webhook",
        TENANT_ADMIN,
        body={"url": _CALLBACK, "events": ["job.succeeded", "job.failed", "job.cancelled"]},
        learns={"webhook": "webhook_id"},
    ),
)
_JOBS = (
    Step(
        "accept_job",
        USER,
        headers={"Idempotency-Key": "survey-7"},
        body={
            "id": "survey-7",
            "text": "The new search is fast, but I cannot find my old tickets.",
            "deadline_seconds": 86_400,
            "token_budget": 20_000,
            "needs_approval": True,
            "callback_url": _CALLBACK,
        },
    ),
    Step(
        "approve_job",
        USER,
        {"job_id": "survey-7"},
        headers={"Idempotency-Key": "survey-7-reason"},
        body={"step": "reason", "approved": True, "comment": "Summarise it so."},
    ),
    Step("get_job", USER, {"job_id": "survey-7"}),
    Step("list_jobs", USER),
    Step("cancel_job", USER, {"job_id": "survey-7"}),
    Step("list_webhook_deliveries", TENANT_ADMIN, _WEBHOOK),
    Step("rotate_webhook", TENANT_ADMIN, _WEBHOOK, body={"overlap_seconds": 3600}),
    Step("list_webhooks", TENANT_ADMIN),
    Step("delete_webhook", TENANT_ADMIN, _WEBHOOK),
)
_FEEDBACK = (
    Step(
        "accept_feedback",
        USER,
        headers={"Idempotency-Key": "survey-7-12"},
        body={
            "id": "survey-7-12",
            "task_id": "survey-7",
            "language": "en",
            "text": "The new search is slow. Please call me: Ann Smith, +49 30 1234567.",
        },
    ),
    Step("get_feedback", USER, {"feedback_id": "survey-7-12"}),
    Step("list_feedback", USER, query={"hashtag": "#performance", "contains_pii": "true"}),
    Step("summarise_feedback", USER, query={"from": "2026-01-01", "to": "2026-01-31"}),
    Step(
        "import_feedback",
        USER,
        headers={"Idempotency-Key": "survey-8"},
        body={"csv": "language,text,task_id\nen,It crashed twice,survey-8\nxx-,Hello,survey-8\n"},
        learns={"import_id": "import_id"},
    ),
    Step("get_feedback_import", USER, {"import_id": "<import_id>"}),
)
_EXHAUSTED = FakeDelivery(
    json.dumps({"tenant_id": TENANT, "id": "survey-8", "text": "The new search is slow."}).encode()
)
_LETTER = {
    "dead_letter_id": RefusedMessage(
        "reasoner-in", _EXHAUSTED.message_id or "", _EXHAUSTED.body, ConflictError("")
    ).entry_id()
}
_DEAD_LETTERS = (
    Step(
        "list_dead_letters",
        TENANT_ADMIN,
        query={"queue": "reasoner-in", "reason": "DeliveriesExhaustedError", "limit": "20"},
    ),
    Step("replay_dead_letter", TENANT_ADMIN, _LETTER, headers={"Idempotency-Key": "survey-8-again"}),
    Step("delete_dead_letter", TENANT_ADMIN, _LETTER),
    Step("replay_dead_letters", TENANT_ADMIN, body={"reason": "DeliveriesExhaustedError", "limit": 50}),
)
_TOKENS = (
    Step(
        "lock_tokens",
        USER,
        query={"strict": "true"},
        body={"app_id": "helpdesk", "token_count": 1000, "model": "gpt-4o"},
        learns={"lock": "request_id"},
    ),
    Step("get_token_status", USER, query={"app_id": "helpdesk"}),
    Step(
        "report_tokens",
        USER,
        body={
            "app_id": "helpdesk",
            "request_id": "<lock>",
            "prompt_tokens": 500,
            "completion_tokens": 200,
            "user_id": "ann@example.com",
        },
    ),
    Step("release_tokens", USER, body={"app_id": "helpdesk", "request_id": "<lock>"}),
    Step(
        "get_usage",
        TENANT_ADMIN,
        query={"from": "2026-01-01", "to": "2026-01-31", "group_by": "model,app_id"},
    ),
    Step(
        "put_limits",
        ADMIN,
        _TENANT,
        body={"tokens_per_day": 2_000_000, "expires_at": "2026-03-01T00:00:00Z"},
        learns={"limits": "etag"},
    ),
    Step("get_limits", TENANT_ADMIN, _TENANT),
    Step("delete_limits", ADMIN, _TENANT, headers={"If-Match": "<limits>"}),
)
_OPERATION = (
    Step("get_log_summary", TENANT_ADMIN, query={"from": "2026-01-30", "to": "2026-01-31"}),
    Step(
        "list_log_lines", TENANT_ADMIN, query={"from": "2026-01-31T00:00:00Z", "to": "2026-02-01T00:00:00Z"}
    ),
    Step("tail_log", TENANT_ADMIN),
    Step("list_calls", TENANT_ADMIN, query={"from": "2026-01-31T00:00:00Z", "to": "2026-02-01T00:00:00Z"}),
    Step(
        "get_call_summary",
        TENANT_ADMIN,
        query={"from": "2026-01-30", "to": "2026-01-31", "group_by": "day,model"},
    ),
    Step("get_request_calls", TENANT_ADMIN, {"request_id": "3f0c"}),
    Step("get_call_content", TENANT_ADMIN, {"request_id": "3f0c"}),
    Step("list_audit", TENANT_ADMIN, query={"from": "2026-01-31T00:00:00Z", "action": "key.rotate"}),
    Step("list_platform_audit", ADMIN, query={"action": "tenant.create"}),
    Step("export_blob", TENANT_ADMIN, _TENANT, {"name": _SHIPPED}),
    Step("purge_tenant", ADMIN, {"tenant_id": _REMOVED}),
    Step("openapi", None, shows=("openapi", "info")),
    Step("docs", None),
)
STEPS = (
    *_HEALTH,
    *_TENANTS,
    *_SETTINGS,
    *_MODELS,
    *_PROMPTS,
    *_CHATS,
    *_WEBHOOKS,
    *_JOBS,
    *_FEEDBACK,
    *_DEAD_LETTERS,
    *_TOKENS,
    *_OPERATION,
)


class SupportModel:
    """Model that has one answer to everything, and one analysis where it is held to a form."""

    async def complete(self, prompt: ChatPrompt) -> Completion:
        usage = Usage(prompt_tokens=31, completion_tokens=9, total_tokens=40)
        if prompt.passed is not None:
            return passed_completion(_ANSWER, usage, prompt)
        text = _ANSWER if prompt.answer_format is None else json.dumps(_ANALYSIS)
        return Completion(text, usage, prompt.model, "stop")

    async def check(self) -> None:
        """It is there."""


async def _ship_logs(app: WholeApp) -> None:
    call: dict[str, Any] = {
        "event": "model_call",
        "time": "2026-01-31T10:30:00Z",
        "model": "gpt-4o",
        "status": "succeeded",
    }
    call |= {"prompt_tokens": 31, "completion_tokens": 9, "duration_ms": 840.0, "wait_ms": 6.0}
    times = ("10:30:00", "10:30:01")
    fields = {"level": "INFO", "logger": "functions.chat", "message": "Answered", "tenant_id": TENANT}
    about = {"conversation_id": "ticket-7"}
    asked: dict[str, Any] = {"request_id": "3f0c", "extra": about}
    lines = [{"timestamp": f"2026-01-31T{time}Z"} | fields | asked for time in times]
    lines[0] |= {"message": "Model call", "extra": call | about}
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    app.blobs[_SHIPPED] = content
    await app.functions["index_logs"](func.blob.InputStream(data=content, name=f"logs/{_SHIPPED}"))


async def _keep_content(app: WholeApp) -> None:
    at = app.clock.now()
    told = {
        "time": "2026-01-31T10:30:00Z",
        "request_id": "3f0c",
        "model": "gpt-4o",
        "deployment": "gpt-4o",
        "bot_id": "support",
        "conversation_id": "ticket-7",
        "turn": 1,
        "job_id": None,
        "step": None,
        "status": "succeeded",
        "finish_reason": "stop",
        "messages": [{"role": "user", "content": "Where do I change my password?"}],
        "messages_left_out": 0,
        "answers": [{"role": "assistant", "content": _ANSWER}],
        "answers_left_out": 0,
    }
    name = f"{prefix_of(TENANT, at, '3f0c')}103000000000-5f2b61c3.json"
    await app.runtime.content_blobs.write(name, json.dumps(told).encode())


async def _add_tenant(app: WholeApp) -> None:
    await app.new_tenant(_REMOVED, "free")


async def _work_on_the_job(app: WholeApp) -> None:
    runtime = app.runtime
    tenant = await runtime.authenticator.for_platform(_TENANT["tenant_id"])
    jobs = JobRepository(tenant, runtime.container("jobs"), runtime.clock, REASONING)
    held = await jobs.claim(await jobs.read("survey-7"), "worker", 75)
    usage = Usage(prompt_tokens=88, completion_tokens=21, total_tokens=109)
    text = "Speed is praised; old tickets cannot be found."
    step = JobStep(text=text, usage=usage, number=1, model="gpt-4o", finish_reason="stop")
    held = await jobs.checkpoint(held, "reason", step, usage, 75)
    until = runtime.clock.now() + timedelta(days=1)
    message = request_message(held.request, until)
    await jobs.put_off(held, JobDelay(message, until, "approval of step 'reason'", "reason", usage))


async def _analyse_feedback(app: WholeApp) -> None:
    body = {"tenant_id": TENANT, "id": "survey-7-12"} | dict(_FEEDBACK[0].body)
    await app.functions["analyse_feedback"](FakeDelivery(json.dumps(body).encode()))


async def _queue_response(app: WholeApp) -> None:
    key = await app.new_key(TENANT, Role.USER)
    body = {"model": "bot/support", "input": "And my mail address?", "background": True}
    await app.must("create_response", Call.of(body, headers=key | {"idempotency-key": _KEY_OF_QUEUED}))


async def _exhaust_deliveries(app: WholeApp) -> None:
    await app.functions["give_up_job"](_EXHAUSTED)


PREPARATIONS: Mapping[str, Callable[[WholeApp], Awaitable[None]]] = {
    "list_dead_letters": _exhaust_deliveries,
    "delete_dead_letter": _exhaust_deliveries,
    "replay_dead_letters": _exhaust_deliveries,
    "cancel_response": _queue_response,
    "get_feedback": _analyse_feedback,
    "approve_job": _work_on_the_job,
    "get_log_summary": _ship_logs,
    "get_call_content": _keep_content,
    "purge_tenant": _add_tenant,
}
"""Events before a step that no route makes, by its operation."""
