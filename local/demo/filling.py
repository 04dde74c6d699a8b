"""Filling of a platform through the app's API: whatever is missing is made, what is there is left alone."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from local.demo.plan import JobFate
from local.tour.client import Api, TourError, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import httpx

    from local.demo.plan import Plan, PlannedConversation, PlannedJob, PlannedPrompt, PlannedTenant
    from local.demo.stand_in import StandIn

_KEY_NAME = "Console (demo)"
_AT_ONCE = 6
_FINAL_SECONDS = 90.0
_FORBIDDEN = frozenset({401, 403})
_NO_OVERLAP = {"overlap_seconds": 0}


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the filling that is over: how many of a kind there are, and how many of them are new."""

    name: str
    count: int
    new: int


@dataclass(slots=True)
class Keys:
    """Keys that the demo made; the app shows each only once."""

    admins: dict[str, str] = field(default_factory=dict)
    user: str = ""


class Filler:
    """Fills a platform by a plan.

    Args:
        client: Speaks to the app's address.
        admin_key: The platform administrator's.
        plan: What there is to be.
        stand_in: The local model, which is told its answers.
        keys: Those of an earlier run; new ones are added.
    """

    def __init__(
        self, client: httpx.Client, admin_key: str, plan: Plan, stand_in: StandIn, keys: Keys
    ) -> None:
        self._client = client
        self._admin = Api(client, admin_key)
        self._plan = plan
        self._stand_in = stand_in
        self._keys = keys
        self._suspended: set[str] = set()

    def open_tenants(self) -> tuple[Step, datetime]:
        """Make the tenants with a key for each; return when the first of them was created.

        Raises:
            TourError: The app refuses something.
        """
        new = sum(self._each(self._open_tenant))
        first = self._admin.get(f"/api/v1/tenants/{self._plan.tenants[0].tenant_id}")
        return Step("tenants", len(self._plan.tenants), new), datetime.fromisoformat(first["created_at"])

    @property
    def open(self) -> list[PlannedTenant]:
        """The tenants that are not suspended yet."""
        return [tenant for tenant in self._plan.tenants if tenant.tenant_id not in self._suspended]

    def fill(self) -> Iterator[Step]:
        """Make everything else, a kind at a time.

        Raises:
            TourError: The app refuses something, or a job does not come to its end.
        """
        known: Mapping[str, tuple[Callable[[PlannedTenant], int], Callable[[PlannedTenant], int]]] = {
            "keys": (lambda tenant: len(tenant.keys), self._make_keys),
            "settings and limits": (lambda one: len(one.settings) + (one.limits is not None), self._set),
            "prompts": (lambda tenant: len(tenant.prompts), self._save_prompts),
            "bots": (lambda tenant: len(tenant.bots), self._save_bots),
            "webhooks": (lambda tenant: len(tenant.webhooks), self._add_webhooks),
            "feedback": (lambda tenant: len(tenant.feedback), self._give_feedback),
            "jobs": (lambda tenant: len(tenant.jobs), self._start_jobs),
            "conversations": (lambda tenant: len(tenant.conversations), self._converse),
            "dead letters": (lambda tenant: len(tenant.dead_messages), self._bury),
            "jobs at their ends": (lambda tenant: len(tenant.jobs), self._end_jobs),
        }
        yield Step("global prompts", len(self._plan.global_prompts), self._save_global_prompts())
        for name, (count, make) in known.items():
            new = sum(self._each(make, one_of_an_industry=make == self._converse))
            yield Step(name, sum(count(tenant) for tenant in self.open), new)

    def suspend(self) -> Step:
        """Suspend those that are to be.

        Raises:
            TourError: The app refuses it.
        """
        planned = [tenant.tenant_id for tenant in self._plan.tenants if tenant.is_suspended]
        new = [tenant_id for tenant_id in planned if tenant_id not in self._suspended]
        for tenant_id in new:
            self._admin.patch(f"/api/v1/tenants/{tenant_id}", {"status": "suspended"})
        return Step("suspended tenants", len(planned), len(new))

    def count_chunks(self, tenant: PlannedTenant, query: Mapping[str, str]) -> int:
        """Return how many chunks of a tenant's log lines are indexed in some days.

        Raises:
            TourError: The app refuses it.
        """
        return int(self._of(tenant).get("/api/v1/logs/summary", **query)["chunks"])

    def ship_logs(self) -> None:
        """Have the app ship its log files now."""
        self._client.post("/admin/functions/ship_logs", json={"input": ""})

    def _each(self, make: Callable[[PlannedTenant], int], *, one_of_an_industry: bool = False) -> list[int]:
        """Do something for each tenant, for some at once.

        Tenants of an industry talk about the same things: the stand-in, which tells requests by their texts,
        would give one the answer that was meant for the other.
        """
        groups: defaultdict[str, list[PlannedTenant]] = defaultdict(list)
        for tenant in self.open:
            groups[tenant.industry if one_of_an_industry else tenant.tenant_id].append(tenant)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(lambda group: sum(make(tenant) for tenant in group), groups.values()))

    def _of(self, tenant: PlannedTenant) -> Api:
        return Api(self._client, self._keys.admins[tenant.tenant_id])

    def _open_tenant(self, tenant: PlannedTenant) -> int:
        body = {"tenant_id": tenant.tenant_id, "name": tenant.name, "tier": tenant.tier}
        is_new = self._admin.create("/api/v1/tenants", body)
        if not is_new and self._admin.get(f"/api/v1/tenants/{tenant.tenant_id}")["status"] != "active":
            self._suspended.add(tenant.tenant_id)
            return 0
        known = self._keys.admins.get(tenant.tenant_id)
        if known is None or Api(self._client, known).status("/api/v1/me") in _FORBIDDEN:
            key = {"name": _KEY_NAME, "role": "tenant_admin"}
            self._keys.admins[tenant.tenant_id] = self._renew_key(tenant, key)
        return int(is_new)

    def _renew_key(self, tenant: PlannedTenant, body: Mapping[str, Any]) -> str:
        """Make a key, or rotate the one of its name: nobody knows that one any more."""
        path = f"/api/v1/tenants/{tenant.tenant_id}/keys"
        for key in self._admin.get(path, limit="100")["items"]:
            if key["name"] == body["name"] and key["status"] == "active" and key["replaced_by"] is None:
                return str(self._admin.post(f"{path}/{key['key_id']}/rotate", _NO_OVERLAP)["key"])
        return str(self._admin.post(path, body)["key"])

    def _make_keys(self, tenant: PlannedTenant) -> int:
        api, path = self._of(tenant), f"/api/v1/tenants/{tenant.tenant_id}/keys"
        names = {key["name"] for key in api.get(path, limit="100")["items"]}
        missing = [key for key in tenant.keys if key.body["name"] not in names]
        for key in missing:
            made = api.post(path, key.body)
            if key.is_revoked:
                api.delete(f"{path}/{made['key_id']}")
        if tenant is self._plan.tenants[0]:
            user = {"name": "User (demo)", "role": "user", "user_id": tenant.conversations[0].user_id}
            if not self._keys.user or Api(self._client, self._keys.user).status("/api/v1/me") in _FORBIDDEN:
                self._keys.user = self._renew_key(tenant, user)
                return len(missing) + 1
        return len(missing)

    def _set(self, tenant: PlannedTenant) -> int:
        api, new = self._of(tenant), 0
        for key, value in tenant.settings.items():
            if api.get(f"/api/v1/settings/{key}")["source"] != "tenant":
                api.put(f"/api/v1/settings/{key}", {"value": value})
                new += 1
        path = f"/api/v1/tenants/{tenant.tenant_id}/limits"
        if tenant.limits is not None and self._admin.get(path)["override"] is None:
            begun = datetime.fromisoformat(
                self._admin.get(f"/api/v1/tenants/{tenant.tenant_id}")["created_at"]
            )
            ends = begun + timedelta(days=tenant.limit_days)
            self._admin.put(path, tenant.limits | {"expires_at": ends.isoformat()})
            new += 1
        return new

    def _save_global_prompts(self) -> int:
        return _save(self._admin, self._plan.global_prompts, "&scope=global")

    def _save_prompts(self, tenant: PlannedTenant) -> int:
        return _save(self._of(tenant), tenant.prompts, "")

    def _save_bots(self, tenant: PlannedTenant) -> int:
        api = self._of(tenant)
        there = {bot["bot_id"] for bot in api.get("/api/v1/bots", limit="100")["items"]}
        missing = [bot for bot in tenant.bots if bot.bot_id not in there]
        for bot in missing:
            api.put(f"/api/v1/bots/{bot.bot_id}", bot.body)
        return len(missing)

    def _add_webhooks(self, tenant: PlannedTenant) -> int:
        api = self._of(tenant)
        there = {webhook["url"] for webhook in api.get("/api/v1/webhooks", limit="100")["items"]}
        missing = [url for url in tenant.webhooks if url not in there]
        for url in missing:
            api.post("/api/v1/webhooks", {"url": url})
        return len(missing)

    def _converse(self, tenant: PlannedTenant) -> int:
        api = self._of(tenant)
        return sum(self._hold(api, conversation) for conversation in tenant.conversations)

    def _hold(self, api: Api, planned: PlannedConversation) -> int:
        bot = f"/api/v1/bots/{planned.bot.bot_id}"
        path = f"{bot}/conversations/{planned.conversation_id}"
        found = api.find(path)
        held = 0 if found is None else len(found["items"])
        for number, turn in enumerate(planned.turns[held:], held + 1):
            self._stand_in.say(turn.question, [turn.answer])
            said = {"message": turn.question, "conversation_id": planned.conversation_id}
            said |= {"user_id": planned.user_id}
            api.post(f"{bot}/chat", said | {"variables": planned.bot.variables})
            if turn.rating is not None:
                api.put(f"{path}/turns/{number}/rating", turn.rating)
        if found is None:
            api.patch(path, {"title": planned.title})
        return int(found is None)

    def _give_feedback(self, tenant: PlannedTenant) -> int:
        api, new = self._of(tenant), 0
        there = _ids(api, "/api/v1/feedback", "feedback_id") if tenant.feedback else set()
        for feedback in tenant.feedback:
            if feedback.feedback_id not in there:
                self._stand_in.say(feedback.answer.contains, feedback.answer.texts)
                api.post("/api/v1/feedback", feedback.body)
                new += 1
        return new

    def _start_jobs(self, tenant: PlannedTenant) -> int:
        api, new = self._of(tenant), 0
        there = _ids(api, "/api/v1/reasoning/jobs", "job_id") if tenant.jobs else set()
        for job in tenant.jobs:
            if job.job_id in there:
                continue
            for answers in job.answers:
                self._stand_in.say(answers.contains, answers.texts)
            if job.fate is JobFate.RUNNING:
                self._stand_in.hold(job.case)
            callback = {"callback_url": tenant.webhooks[0]} if tenant.webhooks else {}
            api.post("/api/v1/reasoning/jobs", job.body | callback)
            new += 1
        return new

    def _end_jobs(self, tenant: PlannedTenant) -> int:
        """Wait until jobs are as far as they come by themselves, and say no to those that are to end."""
        api = self._of(tenant)
        return sum(self._end_job(api, job) for job in tenant.jobs)

    def _end_job(self, api: Api, job: PlannedJob) -> int:
        if job.fate in {JobFate.QUEUED, JobFate.RUNNING}:
            return 0
        path = f"/api/v1/reasoning/jobs/{job.job_id}"
        wanted = {JobFate.WAITING} if job.fate is JobFate.CANCELLED else {job.fate}
        over = {JobFate.SUCCEEDED, JobFate.FAILED, JobFate.CANCELLED}
        found = wait_for(
            f"The end of {path}",
            lambda: api.get(path),
            lambda one: one["status"] in wanted | over,
            _FINAL_SECONDS,
        )
        if job.fate is not JobFate.CANCELLED or found["status"] != JobFate.WAITING:
            return 0
        said = {"step": found["waiting_step"], "approved": False, "comment": "The numbers are out of date."}
        api.post(f"{path}/approve", said)
        return 1

    def _bury(self, tenant: PlannedTenant) -> int:
        """Give messages to the queues' functions that nobody can handle: those keep them as dead letters."""
        if not tenant.dead_messages:
            return 0
        api = self._of(tenant)
        there = {one["job_id"] for one in api.get("/api/v1/dead-letters", limit="100")["items"]}
        missing = [one for one in tenant.dead_messages if one.body["id"] not in there]
        for message in missing:
            answer = self._client.post(f"/admin/functions/{message.function}", json={"input": message.body})
            if answer.is_error:
                raise TourError(f"{message.function}: {answer.status_code} {answer.text}")
        wait_for(
            "The dead letters",
            lambda: len(api.get("/api/v1/dead-letters", limit="100")["items"]),
            lambda count: count >= len(missing),
        )
        return len(missing)


def _save(api: Api, prompts: tuple[PlannedPrompt, ...], query: str) -> int:
    """Save the versions and labels that are missing; return how many prompts are new."""
    new = 0
    for prompt in prompts:
        path = f"/api/v1/prompts/{prompt.name}"
        found = api.find(f"{path}?fresh=true{query}")
        held = 0 if found is None else int(found["version"])
        for version in prompt.versions[held:]:
            api.put(f"{path}?{query}", version)
        if found is None:
            for label, number in prompt.labels.items():
                api.put(f"{path}/labels/{label}?{query}", {"version": number})
        new += found is None
    return new


def _ids(api: Api, path: str, name: str) -> set[str]:
    """Return the ids of all that a list has."""
    found: set[str] = set()
    cursor: dict[str, str] = {}
    while True:
        page = api.get(path, limit="100", **cursor)
        found |= {str(one[name]) for one in page["items"]}
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}
