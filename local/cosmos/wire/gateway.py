"""From a request to its response: authorization, routing, limits, faults, headers, errors."""

from __future__ import annotations

import logging
import sqlite3
import uuid
from dataclasses import asdict
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import orjson

from local.cosmos.engine import charges
from local.cosmos.engine.catalog import Container, ContainerName
from local.cosmos.engine.faults import FaultRule, parse_rule
from local.cosmos.engine.identity import http_date
from local.cosmos.errors import CosmosError, bad_request, not_found, unsupported
from local.cosmos.wire.addressing import Address, resolve, split
from local.cosmos.wire.catalog_routes import CatalogRoutes
from local.cosmos.wire.item_routes import ItemRoutes
from local.cosmos.wire.messages import Response, json_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.cosmos.engine.account import Account
    from local.cosmos.values import JsonObject
    from local.cosmos.wire.authorization import MasterKey
    from local.cosmos.wire.messages import Request

ADMIN_PREFIX: Final = "_local"
_REFUSED: Final[dict[str, str]] = {
    "sprocs": "Stored procedures",
    "triggers": "Triggers",
    "udfs": "User defined functions",
    "conflicts": "The conflict feed",
    "users": "Users and permissions",
    "permissions": "Users and permissions",
    "attachments": "Attachments",
    "clientencryptionkeys": "Client encryption keys",
}
_CONTAINER_DEPTH: Final = 4
_log = logging.getLogger(__name__)


class Gateway:
    """Answers requests, whoever carries them."""

    def __init__(self, account: Account, master_key: MasterKey) -> None:
        self._account = account
        self._key = master_key
        self._catalog = CatalogRoutes(account)
        self._items = ItemRoutes(account)

    def handle(self, request: Request) -> Response:
        """Answer a request; errors of the service are answers as well."""
        segments = split(request.path)
        container: Container | None = None
        try:
            if segments[:1] == [ADMIN_PREFIX]:
                return self._finished(request, self._admin(request, segments[1:]), None)
            self._key.check(request)
            address = resolve(segments, self._account.catalog)
            container = self._container_of(address.segments)
            response = self._with_faults(request, address, container)
        except CosmosError as error:
            response = _render(request, error)
        except RecursionError:
            response = _render(request, bad_request("The request is nested too deeply."))
        except sqlite3.Error as error:
            # One line: a full disk has no use for a traceback with each request.
            _log.error("%s %r failed in the store: %s", request.method, request.path, error)
            response = _render(request, CosmosError(500, f"The data cannot be read or written: {error}"))
        return self._finished(request, response, container)

    def _container_of(self, segments: list[str]) -> Container | None:
        if len(segments) <= _CONTAINER_DEPTH or segments[0] != "dbs" or segments[2] != "colls":
            return None
        return self._account.catalog.container_of_items(ContainerName(segments[1], segments[3]))

    def _with_faults(self, request: Request, address: Address, container: Container | None) -> Response:
        operation = self._operation(request, address.segments)
        rule = self._account.faults.hit(operation, address.container_label)
        if rule is None:
            return self._limited(request, address, container)
        return self._faulty(request, rule, lambda: self._limited(request, address, container))

    @staticmethod
    def _faulty(request: Request, rule: FaultRule, run: Callable[[], Response]) -> Response:
        error = rule.error()
        if rule.after or (error is None and not rule.drop):
            try:
                response = run()
            except CosmosError as caught:
                response = _render(request, caught)
        else:
            response = Response(500)
        if error is not None:
            response = _render(request, error)
        response.delay_s, response.drop = rule.delay_ms / 1000, rule.drop
        return response

    def _limited(self, request: Request, address: Address, container: Container | None) -> Response:
        if container is None:
            return self._route(request, address.segments)
        budget = self._account.limits.admit(container.name)
        try:
            response = self._below_container(request, container, address)
        except CosmosError:
            if budget is not None:
                budget.spend(charges.read(0))
            raise
        if budget is not None:
            budget.spend(response.charge)
        return response

    def _operation(self, request: Request, segments: list[str]) -> str:
        match segments:
            case []:
                return "account"
            case ["offers", *_]:
                return "offer"
            case ["dbs", _, "colls", _, "pkranges"]:
                return "pkranges"
            case ["dbs", _, "colls", _, *tail] if tail:
                return self._items.operation(request, tail)
            case ["dbs", _, "colls", *_]:
                return "container"
            case _:
                return "database"

    def _route(self, request: Request, segments: list[str]) -> Response:
        match segments:
            case []:
                return self._catalog.account(request)
            case ["dbs"]:
                return self._catalog.databases(request)
            case ["dbs", database_id]:
                return self._catalog.database(request, database_id)
            case ["dbs", database_id, "colls"]:
                return self._catalog.containers(request, database_id)
            case ["dbs", database_id, "colls", container_id]:
                return self._catalog.container(request, ContainerName(database_id, container_id))
            case ["offers", *tail]:
                return self._catalog.offers(request, tail)
            case _:
                raise _unknown(request, segments)

    def _below_container(self, request: Request, container: Container, address: Address) -> Response:
        match tail := address.segments[_CONTAINER_DEPTH:]:
            case ["pkranges"]:
                return self._catalog.partition_key_ranges(request, container)
            case ["docs", rid] if address.by_rid:
                return self._items.answer(
                    request, container, ["docs", self._items.id_of(request, container, rid)]
                )
            case ["docs"] | ["docs", _] | ["operations", _]:
                return self._items.answer(request, container, tail)
            case _:
                raise _unknown(request, tail)

    def _admin(self, request: Request, segments: list[str]) -> Response:
        """Answer the local-only routes, which no Azure account has."""
        faults, limits = self._account.faults, self._account.limits
        match request.method, segments:
            case "POST", ["faults"]:
                faults.add(parse_rule(request.json_object()))
                return json_response(201, _described(faults.rules()), 0.0)
            case "GET", ["faults"]:
                return json_response(200, _described(faults.rules()), 0.0)
            case "DELETE", ["faults"]:
                faults.clear()
                return Response(204)
            case "POST", ["split"]:
                return json_response(200, self._split(request.json_object()), 0.0)
            case "PUT", ["throughput"]:
                self._limit(request.json_object())
                return json_response(200, {"limits": dict(limits.describe())}, 0.0)
            case "GET", ["throughput"]:
                return json_response(200, {"limits": dict(limits.describe())}, 0.0)
            case _:
                raise not_found(f"There is no local route {request.method} {request.path}.")

    def _limit(self, body: JsonObject) -> None:
        name, per_second = _container_name(body), body.get("ru_per_second")
        if isinstance(per_second, bool) or not (
            per_second is None or (isinstance(per_second, int | float) and per_second > 0)
        ):
            raise bad_request('The limit needs "ru_per_second", a positive number, or null to switch it off.')
        found = self._account.catalog.container(name)
        self._account.limits.set(found.name, per_second if isinstance(per_second, int | float) else None)

    def _split(self, body: JsonObject) -> JsonObject:
        """Split a physical partition at a given key, or evenly; tell which there are then."""
        catalog, name = self._account.catalog, _container_name(body)
        range_id, at, parts = body.get("range"), body.get("at"), body.get("parts", 2)
        if at is not None:
            try:
                container = catalog.split(name, bytes.fromhex(str(at)))
            except ValueError as error:
                raise bad_request(
                    'The split\'s "at" has to be an effective partition key in hexadecimal.'
                ) from error
        else:
            if isinstance(parts, bool) or not isinstance(parts, int) or parts < 2:  # noqa: PLR2004 - one is no split
                raise bad_request('The split\'s "parts" has to be a whole number from 2 on.')
            container = catalog.split_evenly(name, None if range_id is None else str(range_id), parts)
        return {"ranges": container.partitions.to_json()}

    def _finished(self, request: Request, response: Response, container: Container | None) -> Response:
        headers = response.headers
        headers["date"] = http_date(self._account.clock())
        headers["x-ms-activity-id"] = request.headers.get("x-ms-activity-id") or str(uuid.uuid4())
        headers["x-ms-request-charge"] = f"{response.charge:.2f}".rstrip("0").rstrip(".")
        headers["x-ms-version"] = "2018-12-31"
        headers["x-ms-gatewayversion"] = "version=2.14.0"
        if response.body:
            headers["content-type"] = "application/json"
        if container is not None:
            answering = list(self._items.answering(request, container))
            headers["x-ms-session-token"] = self._items.session_token(answering, container)
            headers["lsn"] = str(container.table.lsn)
            headers["x-ms-alt-content-path"] = quote(
                f"dbs/{container.name.database}/colls/{container.name.container}"
            )
            headers["x-ms-content-path"] = container.rid
            if len(answering) == 1:
                headers["x-ms-documentdb-partitionkeyrangeid"] = answering[0]
        return response


def _container_name(body: JsonObject) -> ContainerName:
    container = body.get("container")
    if not isinstance(container, str) or container.count("/") != 1:
        raise bad_request('A "container" is needed, of the form database/container.')
    database_id, _, container_id = container.partition("/")
    return ContainerName(database_id, container_id)


def _unknown(request: Request, segments: list[str]) -> CosmosError:
    for segment in reversed(segments):
        if segment in _REFUSED:
            return unsupported(_REFUSED[segment])
    return bad_request(f"The route {request.method} {request.path} does not exist.")


def _described(rules: list[FaultRule]) -> JsonObject:
    return {"faults": [asdict(rule) for rule in rules]}


def _render(request: Request, error: CosmosError) -> Response:
    response = Response(error.status, charge=charges.read(0))
    if error.status != 304:  # noqa: PLR2004 - a 304 has no body
        activity = request.headers.get("x-ms-activity-id", "")
        text = (
            error.message
            if error.message.startswith("{")
            else orjson.dumps({"Errors": [error.message]}).decode()
        )
        message = f"Message: {text}\r\nActivityId: {activity}, Request URI: {request.path}"
        details = {} if error.details is None else {"additionalErrorInfo": error.details}
        response.body = orjson.dumps({"code": error.code, "message": message, **details})
    if error.substatus:
        response.headers["x-ms-substatus"] = str(error.substatus)
    if error.retry_after_ms is not None:
        response.headers["x-ms-retry-after-ms"] = str(error.retry_after_ms)
    return response
