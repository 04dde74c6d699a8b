"""The host's own addresses: the home page, `/admin/host/*` and `/admin/functions/*`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from local.host.bindings import HttpTrigger, WarmupTrigger
from local.host.http_messages import headers_of, query_of
from local.host.invocation import HttpOutput
from local.host.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.host.bindings import Function
    from local.host.http_messages import Exchange
    from local.host.invocation import Scope
    from local.host.keys import Keys
    from local.host.status import HostState, HostStatus

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = HttpOutput(
    200,
    (
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-store"),
        # The page is whole in itself: nothing of another origin, and no other page around it.
        ("content-security-policy", _POLICY),
    ),
    Path(__file__).with_name("view.html").read_bytes(),
)


class ByHand(Protocol):
    """Starts a function without its trigger."""

    def start(self, function: Function, text: str) -> None:
        """Run a function in the background on the text that stands for its trigger's input."""
        ...


class Admin:
    """Answers what no function's route takes."""

    def __init__(self, status: HostStatus, by_hand: ByHand, keys: Keys | None, *, home_page: bool) -> None:
        self._status = status
        self._state = state = status.state
        self._by_hand = by_hand
        self._keys = keys
        self._home_page = home_page
        self._functions = {function.name.lower(): function for function in state.functions}

    async def answer(self, scope: Scope, exchange: Exchange, parts: list[str]) -> None:
        """Answer a request to the host itself by its path's segments; 404 for what is nobody's."""
        method = scope["method"]
        if not parts and method in {"GET", "HEAD"}:
            await self._home(scope, exchange)
        elif parts == ["admin", "host", "ping"]:
            await exchange.answer(200)
        elif parts[:1] != ["admin"]:
            await self._answer_nobodys(exchange)
        elif self._keys is not None and not self._keys.admit("admin", "", headers_of(scope), query_of(scope)):
            await exchange.answer(401)
        elif parts == ["admin", "host", "view"] and method == "GET":
            await exchange.respond(_PAGE)
        elif parts == ["admin", "host", "status"] and method == "GET":
            await _json(exchange, await self._status.read())
        elif parts == ["admin", "warmup"]:
            await self._warm_up(exchange)
        elif parts == ["admin", "functions"] and method == "GET":
            await _json(exchange, [_info(self._state, function) for function in self._state.functions])
        elif parts[:2] == ["admin", "functions"] and parts[2:3] and parts[2] in self._functions:
            await self._function(self._functions[parts[2]], scope, parts[3:], exchange)
        else:
            await exchange.answer(404)

    async def _answer_nobodys(self, exchange: Exchange) -> None:
        if not self._state.errors:
            await exchange.answer(404)
            return
        reason = "; ".join(self._state.errors)
        await exchange.refuse(Refusal(503, "FunctionAppError", f"The function app does not run: {reason}"))

    async def _home(self, scope: Scope, exchange: Exchange) -> None:
        if not self._home_page:
            await exchange.answer(204)
            return
        if self._keys is None and "text/html" in headers_of(scope).get("accept", ""):
            await exchange.respond(replace(_PAGE, status=503) if self._state.errors else _PAGE)
            return
        if self._state.errors:
            await self._answer_nobodys(exchange)
            return
        rows = "\n".join(
            f"  {function.name}: {self._state.address(function)}" for function in self._state.functions
        )
        text = f"{self._state.app_name} is up and running.\n\n{rows}\n\nState: /admin/host/view\n"
        await exchange.answer(200, text.encode(), "text/plain; charset=utf-8")

    async def _warm_up(self, exchange: Exchange) -> None:
        for function in self._state.functions:
            if isinstance(function.trigger, WarmupTrigger) and not function.disabled:
                self._by_hand.start(function, "")
        await exchange.answer(200)

    async def _function(
        self, function: Function, scope: Scope, rest: Sequence[str], exchange: Exchange
    ) -> None:
        match scope["method"], list(rest):
            case "GET", []:
                await _json(exchange, _info(self._state, function))
            case "GET", ["status"]:
                await _json(exchange, {"errors": None} if not function.disabled else {"isDisabled": True})
            case "POST", [] if not _is_json(scope):
                await exchange.answer(415)
            case "POST", []:
                await self._run(function, await exchange.body(), exchange)
            case _:
                await exchange.answer(404)

    async def _run(self, function: Function, body: bytes, exchange: Exchange) -> None:
        try:
            content = json.loads(body)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            await exchange.answer(
                400,
                b'{"error": "expected a JSON object such as {\\"input\\": \\"...\\"}"}',
                "application/json",
            )
            return
        given = content.get("input")
        self._by_hand.start(
            function, given if isinstance(given, str) else "" if given is None else json.dumps(given)
        )
        await exchange.answer(202)


def _info(state: HostState, function: Function) -> dict[str, Any]:
    """Describe one function as Azure's host does."""
    admin = f"{state.base_url}/admin/functions/{function.name}"
    trigger = function.trigger
    return {
        "name": function.name,
        "script_root_path_href": None,
        "script_href": None,
        "config_href": None,
        "test_data_href": None,
        "secrets_file_href": None,
        "href": admin,
        "invoke_url_template": state.url(trigger) if isinstance(trigger, HttpTrigger) else None,
        "language": "python",
        "config": {
            "name": function.name,
            "scriptFile": function.script_file,
            "language": "python",
            "bindings": [dict(binding) for binding in function.raw_bindings],
        },
        "files": None,
        "test_data": None,
        "isDisabled": function.disabled,
        "isDirect": True,
        "isProxy": False,
    }


def _is_json(scope: Scope) -> bool:
    """Whether a request says that it is JSON; a page of another origin cannot, unless it is asked first."""
    kind = headers_of(scope).get("content-type", "")
    return kind.partition(";")[0].strip().lower() == "application/json"


async def _json(exchange: Exchange, content: object) -> None:
    await exchange.answer(200, json.dumps(content).encode(), "application/json; charset=utf-8")
