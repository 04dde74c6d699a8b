"""The host's own addresses: the home page, `/admin/host/*` and `/admin/functions/*`."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from local.host.bindings import BlobTrigger, HttpTrigger, ServiceBusTrigger, TimerTrigger, WarmupTrigger
from local.host.executor import Tally
from local.host.http_messages import headers_of, query_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from local.host.bindings import Function
    from local.host.http_messages import Exchange
    from local.host.invocation import Scope
    from local.host.keys import Keys

VERSION = "4.0.0-local"


class ByHand(Protocol):
    """Starts a function without its trigger."""

    def start(self, function: Function, text: str) -> None:
        """Run a function in the background on the text that stands for its trigger's input."""
        ...


@dataclass(frozen=True, slots=True)
class HostState:
    """What the status pages tell."""

    app_name: str
    base_url: str
    route_prefix: str
    functions: Sequence[Function]
    tallies: Mapping[str, Tally]
    poison: Callable[[], Sequence[Mapping[str, str]]]
    started: float = field(default_factory=time.monotonic)

    def status(self) -> dict[str, Any]:
        """Return the host's state, and each function's."""
        return {
            "id": self.app_name,
            "state": "Running",
            "version": VERSION,
            "versionDetails": f"{VERSION} on azure-functions-runtime",
            "platformVersion": "",
            "instanceId": str(os.getpid()),
            "computerName": "localhost",
            "processUptime": int((time.monotonic() - self.started) * 1000),
            "functionAppContentEditingState": "NotAllowed",
            "functions": [self._function_status(function) for function in self.functions],
            "poisonBlobs": list(self.poison()),
        }

    def _function_status(self, function: Function) -> dict[str, Any]:
        tally = self.tallies.get(function.name) or Tally()
        return {
            "name": function.name,
            "trigger": self.trigger_type(function),
            "address": self.address(function),
            "disabled": function.disabled,
            "invocations": tally.invocations,
            "failures": tally.failures,
            "running": tally.running,
            "recentFailures": [
                {"at": at.isoformat(timespec="milliseconds"), "message": message}
                for at, message in tally.recent_failures
            ],
        }

    def address(self, function: Function) -> str:
        """Return where a function is reached: methods and URL, entity, schedule or path."""
        match function.trigger:
            case HttpTrigger(methods=methods):
                return f"[{','.join(methods)}] {self._url(function.trigger)}"
            case ServiceBusTrigger(source=source):
                return str(source)
            case TimerTrigger(schedule=schedule):
                return schedule
            case BlobTrigger(path=path):
                return path
            case WarmupTrigger():
                return f"{self.base_url}/admin/warmup"

    @staticmethod
    def trigger_type(function: Function) -> str:
        """Return the trigger's type as function.json names it."""
        name = type(function.trigger).__name__
        return name[0].lower() + name[1:]

    def info(self, function: Function) -> dict[str, Any]:
        """Describe one function as Azure's host does."""
        admin = f"{self.base_url}/admin/functions/{function.name}"
        trigger = function.trigger
        return {
            "name": function.name,
            "script_root_path_href": None,
            "script_href": None,
            "config_href": None,
            "test_data_href": None,
            "secrets_file_href": None,
            "href": admin,
            "invoke_url_template": self._url(trigger) if isinstance(trigger, HttpTrigger) else None,
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

    def _url(self, trigger: HttpTrigger) -> str:
        parts = [self.base_url, self.route_prefix.strip("/"), trigger.route.strip("/")]
        return "/".join(part for part in parts if part)


class Admin:
    """Answers what no function's route takes."""

    def __init__(self, state: HostState, by_hand: ByHand, keys: Keys | None, *, home_page: bool) -> None:
        self._state = state
        self._by_hand = by_hand
        self._keys = keys
        self._home_page = home_page
        self._functions = {function.name.lower(): function for function in state.functions}

    async def answer(self, scope: Scope, exchange: Exchange, path: str) -> None:
        """Answer a request to the host itself; 404 for what is nobody's."""
        parts = [part for part in path.lower().split("/") if part]
        method = scope["method"]
        if not parts and method in {"GET", "HEAD"}:
            await self._home(exchange)
        elif parts == ["admin", "host", "ping"]:
            await exchange.answer(200)
        elif parts[:1] != ["admin"]:
            await exchange.answer(404)
        elif self._keys is not None and not self._keys.admit("admin", "", headers_of(scope), query_of(scope)):
            await exchange.answer(401)
        elif parts == ["admin", "host", "status"] and method == "GET":
            await _json(exchange, self._state.status())
        elif parts == ["admin", "warmup"]:
            await self._warm_up(exchange)
        elif parts == ["admin", "functions"] and method == "GET":
            await _json(exchange, [self._state.info(function) for function in self._state.functions])
        elif parts[:2] == ["admin", "functions"] and parts[2:3] and parts[2] in self._functions:
            await self._function(self._functions[parts[2]], method, parts[3:], exchange)
        else:
            await exchange.answer(404)

    async def _home(self, exchange: Exchange) -> None:
        if not self._home_page:
            await exchange.answer(204)
            return
        rows = "\n".join(
            f"  {function.name}: {self._state.address(function)}" for function in self._state.functions
        )
        text = f"{self._state.app_name} is up and running.\n\n{rows}\n\nState: /admin/host/status\n"
        await exchange.answer(200, text.encode(), "text/plain; charset=utf-8")

    async def _warm_up(self, exchange: Exchange) -> None:
        for function in self._state.functions:
            if isinstance(function.trigger, WarmupTrigger) and not function.disabled:
                self._by_hand.start(function, "")
        await exchange.answer(200)

    async def _function(
        self, function: Function, method: str, rest: Sequence[str], exchange: Exchange
    ) -> None:
        match method, list(rest):
            case "GET", []:
                await _json(exchange, self._state.info(function))
            case "GET", ["status"]:
                await _json(exchange, {"errors": None} if not function.disabled else {"isDisabled": True})
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


async def _json(exchange: Exchange, content: object) -> None:
    await exchange.answer(200, json.dumps(content).encode(), "application/json; charset=utf-8")
