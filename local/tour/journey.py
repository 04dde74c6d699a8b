"""The steps of the tour: two tenants, a conversation each, one reasoning job, one log shipped."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.tour.client import Api, TourError, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import httpx

CONVERSATION = "welcome"
"""The same in each tour: a second `make run` continues where the first one stopped."""

_KEY_NAME = "tour"
_CHEAPEST = "/api/v1/tokens/status?app_id=bot:helpdesk"
_CHAT = "/api/v1/bots/helpdesk/chat"
_OK = 200

_TEMPLATE = (
    "You are the support assistant of {company}. Be brief, be kind, and never promise a refund.\n"
    "The customer's language is {language}."
)


@dataclass(frozen=True, slots=True)
class Demo:
    """A tenant of the tour."""

    tenant_id: str
    name: str
    tier: str
    questions: tuple[str, str]


DEMOS = (
    Demo(
        "acme",
        "Acme Rockets",
        "standard",
        ("My rocket arrived without its fins. What now?", "And how long does that take?"),
    ),
    Demo(
        "globex",
        "Globex Cheese",
        "free",
        ("Is the blue cheese supposed to be blue?", "Then why is the white one green?"),
    ),
)
_COMPLAINTS = (
    "Twelve customers wrote this week: nine waited more than ten days for spare fins, two praised the "
    "hotline, one wants a rocket in yellow. Spare parts ship from a single warehouse, which closes at three."
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and its answer."""

    tenant_id: str
    number: int
    question: str
    answer: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A question whose answer comes word by word."""

    tenant_id: str
    question: str


@dataclass(frozen=True, slots=True)
class Words:
    """The next words of an answer."""

    tenant_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The end of an answer that came word by word."""

    tenant_id: str
    number: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant of the tour with its key; `has_new_key` where the last run's is not good any more."""

    demo: Demo
    key: str
    is_new: bool
    has_new_key: bool = True


@dataclass(frozen=True, slots=True)
class Isolation:
    """Answer to one tenant's key on the other's resources."""

    asked: str
    status: int


@dataclass(frozen=True, slots=True)
class Job:
    """A reasoning job's way through the queue."""

    job_id: str
    status: str
    steps: int
    summary: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Budget:
    """A tenant's token budget after its conversation."""

    tenant_id: str
    used: int
    limit: int


@dataclass(frozen=True, slots=True)
class Shipped:
    """The tenant's own log lines, shipped to a blob and indexed."""

    chunks: int
    lines: int


type Event = Tenant | Turn | Asked | Words | Answered | Isolation | Job | Budget | Shipped


class Journey:
    """Walks through the app by its public API; each step's outcome is an event.

    Args:
        client: Speaks to the app's address.
        admin_key: The platform administrator's.
        known_keys: The tenants' keys that an earlier run made.
        slow_down: Has the next answer come at a pace that a person can watch, where the model can be told.
    """

    def __init__(
        self,
        client: httpx.Client,
        admin_key: str,
        known_keys: Mapping[str, str] | None = None,
        slow_down: Callable[[], object] = lambda: None,
    ) -> None:
        self._client = client
        self._slow_down = slow_down
        self._known_keys = known_keys or {}
        self._admin = Api(client, admin_key)

    def walk(self) -> Iterator[Event]:
        """Take every step in turn.

        Raises:
            TourError: A step did not come out as it should.
        """
        tenants = [self._welcome(demo) for demo in DEMOS]
        yield from tenants
        for tenant in tenants:
            yield from self._converse(tenant)
        yield self._try_to_peek(tenants[0], tenants[1])
        yield self._reason(tenants[0])
        for tenant in tenants:
            yield self._budget(tenant)
        yield self._ship_logs(tenants[0])

    def _welcome(self, demo: Demo) -> Tenant:
        body = {"tenant_id": demo.tenant_id, "name": demo.name, "tier": demo.tier}
        is_new = self._admin.create("/api/v1/tenants", body)
        known = self._known_keys.get(demo.tenant_id)
        if known is not None and Api(self._client, known).status(_CHEAPEST) == _OK:
            return Tenant(demo, known, is_new, has_new_key=False)
        return Tenant(demo, self._renew_key(demo.tenant_id), is_new)

    def _renew_key(self, tenant_id: str) -> str:
        """Rotate the tour's key, end what earlier runs left of its name, or make the first one."""
        path = f"/api/v1/tenants/{tenant_id}/keys"
        listed = self._admin.get(path, limit="100")["items"]
        usable = [key for key in listed if key["name"] == _KEY_NAME and key["status"] == "active"]
        usable = [key for key in usable if key["replaced_by"] is None]
        for surplus in usable[1:]:
            self._admin.delete(f"{path}/{surplus['key_id']}")
        if usable:
            made = self._admin.post(f"{path}/{usable[0]['key_id']}/rotate", {"overlap_seconds": 0})
        else:
            made = self._admin.post(path, {"name": _KEY_NAME, "role": "tenant_admin"})
        return str(made["key"])

    def _converse(self, tenant: Tenant) -> Iterator[Event]:
        """Ask the first question for a whole answer, and the second one for its words."""
        api = Api(self._client, tenant.key)
        tenant_id, (first, second) = tenant.demo.tenant_id, tenant.demo.questions
        api.put("/api/v1/prompts/support", {"template": _TEMPLATE, "description": "Who the bot is"})
        api.put("/api/v1/bots/helpdesk", {"description": "Help desk", "prompt": {"name": "support"}})
        reply = api.post(_CHAT, _message(tenant.demo, first))
        yield Turn(tenant_id, reply["turn"], first, reply["response"], reply["usage"]["total_tokens"])
        self._slow_down()
        yield Asked(tenant_id, second)
        for name, data in api.stream(_CHAT, _message(tenant.demo, second) | {"stream": True}):
            if name == "error":
                raise TourError(f"POST {_CHAT}: {data['error']}: {data['message']}")
            if name == "token":
                yield Words(tenant_id, data["text"])
            else:
                yield Answered(tenant_id, data["turn"], data["usage"]["total_tokens"])

    def _try_to_peek(self, owner: Tenant, stranger: Tenant) -> Isolation:
        api = Api(self._client, owner.key)
        job = api.post("/api/v1/reasoning/jobs", {"text": "A secret of the owner's"})
        path = f"/api/v1/reasoning/jobs/{job['job_id']}"
        return Isolation(f"a job of {owner.demo.name}", Api(self._client, stranger.key).status(path))

    def _reason(self, tenant: Tenant) -> Job:
        api = Api(self._client, tenant.key)
        accepted = api.post(
            "/api/v1/reasoning/jobs", {"id": f"tour-{uuid.uuid4().hex[:8]}", "text": _COMPLAINTS}
        )
        job: Any = wait_for(
            "The reasoning job",
            lambda: api.get(accepted["status_url"]),
            lambda found: found["status"] in {"succeeded", "failed"},
        )
        return Job(
            job["job_id"],
            job["status"],
            len(job["steps"]),
            (job["result"] or {}).get("summary", job.get("error", "")),
            job["usage"]["total_tokens"],
        )

    def _budget(self, tenant: Tenant) -> Budget:
        status = Api(self._client, tenant.key).get("/api/v1/tokens/status", app_id="bot:helpdesk")
        return Budget(tenant.demo.tenant_id, status["used_tokens"], status["limit_tokens"])

    def _ship_logs(self, tenant: Tenant) -> Shipped:
        api = Api(self._client, tenant.key)
        before = api.get("/api/v1/logs/summary")["chunks"]
        self._client.post("/admin/functions/ship_logs", json={"input": ""})
        summary: Any = wait_for(
            "The shipping of the logs",
            lambda: api.get("/api/v1/logs/summary"),
            lambda found: found["chunks"] > before,
        )
        return Shipped(summary["chunks"], sum(day["lines"] for day in summary["days"]))


def _message(demo: Demo, question: str) -> dict[str, object]:
    variables = {"company": demo.name, "language": "English"}
    return {"message": question, "conversation_id": CONVERSATION, "variables": variables}
