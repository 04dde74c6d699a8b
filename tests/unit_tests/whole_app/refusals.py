"""Every kind of refusal of every route, as calls to the whole app."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from shared.http.inputs import InputSource
from shared.tenancy.context import Role
from tests.support.fakes import Call
from tests.support.isolation import operation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.http.route import Route
    from tests.support.whole_app import WholeApp

TENANT: Final = "acme"

_DEEP: Final = json.loads("[" * 30 + "]" * 30)
REFUSED_BODIES: Final[dict[str, tuple[Any, ...]]] = {
    "save_bot": (
        {"system_prompt": "x", "prompt": {"name": "y"}},
        {},
        {"system_prompt": "x", "llm": {"temperature": 9}},
    ),
    "replay_dead_letters": ({"limit": 0}, {"before": "yesterday"}, {"queue": "reasoner-out"}),
    "approve_job": ({"step": "No step", "approved": True}, {}, {"step": "reason", "approved": "yes"}),
    "accept_job": ({"text": "x", "prompt_name": "y"}, {}, {"text": "x", "variables": {"a": "b"}}),
    "accept_feedback": (
        {"id": "summary", "language": "en", "text": "x"},
        {"language": "en", "text": " "},
        {"language": "english please", "text": "x"},
    ),
    "import_feedback": (
        {"csv": "language,words\nen,x\n"},
        {"csv": "language,text\n"},
        {"csv": 'language,text\nen,"x'},
        {"csv": "language,text\n" + "x\n" * 2_000},
    ),
    "save_prompt": (
        {"template": "x", "config": {"deep": _DEEP}},
        {"template": "x", "config": {"many": 2**53}},
        {"template": "x", "config": {"text": "y" * 905_000}},
        {"template": "{unclosed"},
        {"template": "{a}", "declared_variables": {"b": {}}},
    ),
    "update_tenant": ({}, {"status": "closed"}),
    "create_tenant": ({"tenant_id": "admin", "name": "x"}, {"tenant_id": "/", "name": "x"}),
    "create_key": ({"name": "x", "role": "admin"}, {"name": "x", "expires_at": "2020-01-01T00:00:00Z"}),
    "create_webhook": (
        {"url": "http://hooks.example.com/"},
        {"url": "https://10.0.0.1/"},
        {"url": "https://a@b/"},
        {"url": "https://hooks.example.com/", "events": ["job.begun"]},
    ),
    "rotate_webhook": ({"overlap_seconds": -1},),
    "put_setting": ({"value": {"a": [1]}}, {"value": 7}),
    "render_prompt": ({"variables": {"none": "x"}}, {"messages": {"1": []}}),
    "put_model": (
        {"key_setting": "ADMIN_API_KEY"},
        {"base_url": "http://secret.example"},
        {"model": "nothing"},
        {"price": {"prompt": "-1", "completion": "1"}},
    ),
    "put_limits": ({"concurrency": 0}, {"expires_at": "2020-01-01T00:00:00Z"}),
    "batch_save_prompts": (
        {"prompts": [{"name": "p", "template": "x", "config": {"deep": _DEEP}}] * 3},
        {"prompts": []},
        {"prompts": [{"name": "p", "template": "x", "config": {"\udc80": 1}}]},
    ),
    "batch_get_prompts": ({"names": []},),
    "batch_delete_prompts": ({"names": ["/"]},),
    "chat": ({"message": "x", "variables": {"a": "b"}}, {"message": ""}),
    "create_chat_completion": (
        {"model": "gpt-4o", "messages": []},
        {"model": "gpt-4o", "messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
        {"model": "no-such-model", "messages": [{"role": "user", "content": "x"}]},
        {"model": "bot/secretbot", "messages": [{"role": "system", "content": "x"}]},
        {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}], "n": 1_000},
        {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}], "max_tokens": 9_000_000},
    ),
    "create_embeddings": (
        {"model": "text-embedding-3-small", "input": ""},
        {"model": "text-embedding-3-small", "input": ["x"] * 2_049},
        {"model": "text-embedding-3-small", "input": [[1], "x"]},
        {"model": "text-embedding-3-small", "input": "x", "encoding_format": "hex"},
        {"model": "gpt-4o", "input": "x"},
    ),
    "create_response": (
        {"model": "gpt-4o"},
        {"model": "gpt-4o", "input": "x", "conversation": "c"},
        {"model": "gpt-4o", "input": [{"role": "user", "content": [{"type": "input_audio"}]}]},
        {"model": "gpt-4o", "input": [{"role": "user", "content": [{"type": "output_text", "text": "x"}]}]},
        {"model": "gpt-4o", "input": [{"id": "msg_1"}]},
        {"model": "gpt-4o", "input": "x", "previous_response_id": "resp_1"},
        {"model": "gpt-4o", "input": "x", "store": False, "background": True},
        {"model": "no-such-model", "input": "x"},
        {"model": "no-such-model", "input": "x", "background": True},
        {"model": "gpt-4o", "input": "x", "max_output_tokens": 9_000_000},
        {"model": "gpt-4o", "input": "\udc80"},
    ),
    "regenerate_answer": ({"stream": "yes"}, {"variables": {"a": "b"}}),
    "rename_conversation": ({"title": ""}, {"title": "x" * 100_000}),
    "rewind_conversation": ({"turn": -1}, {"turn": 99}),
    "fork_conversation": ({"turn": -1}, {"turn": 99}),
    "rate_turn": ({"rating": "sideways"}, {"rating": "up", "comment": "x" * 100_000}),
    "lock_tokens": ({"app_id": "secretapp", "token_count": 0}, {"app_id": "\n", "token_count": 1}),
    "report_tokens": (
        {"app_id": "secretapp", "request_id": "x:y", "prompt_tokens": 1, "completion_tokens": 1},
    ),
    "release_tokens": ({"app_id": "secretapp", "request_id": "x:y"},),
    "move_prompt_label": ({"version": 99}, {"version": 0}),
    "rotate_key": ({"overlap_seconds": -1},),
}
"""Bodies of the right form that the models' own validators refuse, or what is behind them."""

REFUSED_QUERIES: Final[dict[str, tuple[str, ...]]] = {
    "get_usage": ("from=nonsense", "from=2026-02-30", "group_by=me", "from=2027-01-01&to=2026-01-01"),
    "summarise_feedback": ("from=nonsense", "from=2026-02-01&to=2026-01-01"),
    "list_feedback": ("hashtag=bug", "language=de-AT"),
    "get_feedback_import": ("cursor=0", "limit=101"),
    "get_log_summary": ("from=nonsense", "from=2020-01-01&to=2026-01-01"),
    "list_log_lines": ("from=nonsense", "cursor=x", "from=2020-01-01T00:00:00Z&to=2026-01-01T00:00:00Z"),
    "tail_log": ("after=-1", "level=LOUD"),
    "list_calls": ("status=odd", "to=nonsense"),
    "get_call_summary": ("group_by=me", "from=2020-01-01&to=2026-01-01"),
    "list_audit": ("from=nonsense", "cursor=%00"),
    "export_tenant": ("cursor=nonsense", "cursor=e30"),
    "export_blob": ("name=x&offset=-1", "name=globex/x"),
    "get_prompt": ("version=0", "version=1&label=latest"),
    "diff_prompt": ("from=-1", "to=9"),
}


@dataclass(frozen=True)
class Refusal:
    """One call that is refused.

    Attributes:
        kind: What is wrong with it.
        route: The route's name.
    """

    kind: str
    route: str
    call: Call

    def __str__(self) -> str:
        """Name it in a report."""
        return f"{self.route}: {self.kind}"


@dataclass(frozen=True)
class Callers:
    """Headers of those who call.

    Attributes:
        names: What the tenant's own things are called, by path parameter.
    """

    admin: dict[str, str]
    boss: dict[str, str]
    user: dict[str, str]
    names: dict[str, str]

    def of(self, route: Route) -> dict[str, str]:
        """Return who may call a route, for the tenant where it serves one."""
        if route.min_role is not Role.ADMIN:
            return self.boss
        return self.admin


async def set_up(app: WholeApp) -> Callers:
    """Give a tenant something of everything."""
    await app.new_tenant(TENANT)
    boss = await app.new_key(TENANT, Role.TENANT_ADMIN)
    user = await app.new_key(TENANT, Role.USER)
    names = await app.own_everything(TENANT, boss)
    return Callers(app.admin, boss, user, names)


def refusals(app: WholeApp, callers: Callers) -> Iterator[Refusal]:
    """Generate every kind of refusal of every route that asks for a credential."""
    for route in app.runtime.routes:
        if route.documented and route.min_role is not None:
            yield from _refusals(route, callers)


def _refusals(route: Route, callers: Callers) -> Iterator[Refusal]:
    known = operation(route.name)
    valid = Call(
        known.address(callers.names),
        known.needed_query(callers.names),
        callers.of(route),
        b"" if (body := known.body(callers.names)) is None else json.dumps(body).encode(),
    )

    def refusal(kind: str, **changed: Any) -> Refusal:  # noqa: ANN401  # a call's fields
        return Refusal(kind, route.name, replace(valid, **changed))

    yield refusal("no credential", headers={})
    yield refusal("a credential that is none", headers={"authorization": "Bearer tk.acme.x.y"})
    if route.min_role is not Role.USER:
        yield refusal("a role below the route's", headers=callers.user)
    yield refusal("an unknown parameter", query="unknown=1")
    yield refusal("a parameter twice", query="limit=1&limit=1")
    for query in REFUSED_QUERIES.get(route.name, ()):
        yield refusal(f"the query {query}", query=query)
    for name in known.parameters:
        yield refusal(f"no such {name}", path=valid.path | {name: "nothing"})  # type: ignore[operator]  # a dict
        yield refusal(f"{name} that is none", path=valid.path | {name: "\x00/"})  # type: ignore[operator]  # same
    if route.inputs.takes(InputSource.IF_MATCH):
        yield refusal("another state", headers=valid.headers | {"if-match": '"0"'})  # type: ignore[operator]  # same
        yield refusal("an ETag that is none", headers=valid.headers | {"if-match": ""})  # type: ignore[operator]  # same
    if route.repeatable:
        yield refusal("a key that is none", headers=valid.headers | {"idempotency-key": "\x01"})  # type: ignore[operator]  # same
    if route.inputs.body is not None:
        for kind, content in _broken_bodies(valid.body):
            yield refusal(kind, body=content)
        for number, refused in enumerate(REFUSED_BODIES[route.name]):
            yield refusal(f"the body {number}", body=json.dumps(refused).encode())


def _broken_bodies(valid: bytes) -> Iterator[tuple[str, bytes]]:
    yield "nothing", b""
    yield "no JSON", b"{" + b'"x":1,' * 1_000
    yield "a list", b"[" + b",".join([b'"x"'] * 1_000) + b"]"
    yield "an unknown field", valid[:-1] + b', "unknown": "' + b"x" * 1_000 + b'"}'
    yield "a thousand unknown fields", b"{" + b",".join(b'"%d":0' % number for number in range(1_000)) + b"}"
    yield "too deep", valid[:-1] + b', "unknown": ' + b"[" * 100 + b"]" * 100 + b"}"
    yield "a number that is none", valid[:-1] + b', "unknown": 1e999}'
    yield "too large", b"x" * (1024 * 1024 + 1)
