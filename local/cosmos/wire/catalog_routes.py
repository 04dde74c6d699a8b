"""The routes of the account, databases, containers, partition key ranges and throughput."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from local.cosmos.engine import charges, identity
from local.cosmos.engine.catalog import Container, ContainerName, describe_database
from local.cosmos.errors import CosmosError, bad_request, not_found, unsupported
from local.cosmos.sql.query import PageRequest, Row, compile_query
from local.cosmos.wire.item_routes import parse_query_body
from local.cosmos.wire.messages import Response, json_response

if TYPE_CHECKING:
    from local.cosmos.engine.account import Account
    from local.cosmos.engine.partition import EpkRange
    from local.cosmos.values import Json, JsonObject
    from local.cosmos.wire.messages import Request

LEAST_THROUGHPUT: Final = 400
_EVERYTHING: Final = 10**9


class CatalogRoutes:
    """Answers requests above the items."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._catalog = account.catalog

    def account(self, request: Request) -> Response:
        """Describe the account; its one region is where the client reached it."""
        endpoint = f"http://{request.headers.get('host', '127.0.0.1')}/"
        region: JsonObject = {"name": "Local", "databaseAccountEndpoint": endpoint}
        return json_response(
            200,
            {
                "_self": "",
                "id": "local",
                "_rid": "local",
                "media": "//media/",
                "addresses": "//addresses/",
                "_dbs": "//dbs/",
                "writableLocations": [region],
                "readableLocations": [region],
                "enableMultipleWriteLocations": False,
                "continuousBackupEnabled": False,
                "userReplicationPolicy": {
                    "asyncReplication": False,
                    "minReplicaSetSize": 1,
                    "maxReplicasetSize": 1,
                },
                "userConsistencyPolicy": {"defaultConsistencyLevel": "Session"},
                "systemReplicationPolicy": {
                    "minReplicaSetSize": 1,
                    "maxReplicasetSize": 1,
                    "asyncReplication": False,
                },
                "readPolicy": {"primaryReadCoefficient": 1, "secondaryReadCoefficient": 1},
                "queryEngineConfiguration": "{}",
            },
            0.0,
        )

    def databases(self, request: Request) -> Response:
        """Answer `/dbs`."""
        if request.method == "GET":
            return self._listed(
                request, "Databases", [describe_database(row) for row in self._catalog.databases()]
            )
        if request.method != "POST":
            raise _method(request)
        if request.flag("x-ms-documentdb-isquery"):
            return self._listed(
                request, "Databases", [describe_database(row) for row in self._catalog.databases()]
            )
        row = self._catalog.create_database(request.json_object().get("id"), _throughput(request))
        return json_response(201, describe_database(row), 5.0, etag=row.etag)

    def database(self, request: Request, database_id: str) -> Response:
        """Answer `/dbs/{id}`."""
        if request.method == "GET":
            row = self._catalog.database(database_id)
            return json_response(200, describe_database(row), 1.0, etag=row.etag)
        if request.method != "DELETE":
            raise _method(request)
        self._catalog.delete_database(database_id, request.headers.get("if-match"))
        return Response(204, charge=5.0)

    def containers(self, request: Request, database_id: str) -> Response:
        """Answer `/dbs/{id}/colls`."""
        if request.method == "GET" or (request.method == "POST" and request.flag("x-ms-documentdb-isquery")):
            listed = [container.describe() for container in self._catalog.containers(database_id)]
            return self._listed(request, "DocumentCollections", listed)
        if request.method != "POST":
            raise _method(request)
        container = self._catalog.create_container(database_id, request.json_object(), _throughput(request))
        return json_response(201, container.describe(), 5.0, etag=container.row.etag)

    def container(self, request: Request, name: ContainerName) -> Response:
        """Answer `/dbs/{id}/colls/{id}`."""
        match request.method:
            case "GET":
                container = self._catalog.container(name)
            case "PUT":
                if_match = request.headers.get("if-match")
                container = self._catalog.replace_container(name, request.json_object(), if_match)
            case "DELETE":
                self._catalog.delete_container(name, request.headers.get("if-match"))
                return Response(204, charge=5.0)
            case _:
                raise _method(request)
        described = container.describe()
        if request.flag("x-ms-documentdb-populatepartitionstatistics"):
            described["statistics"] = [_statistics(*one, container) for one in container.ranges.items()]
        response = json_response(200, described, 1.0, etag=container.row.etag)
        if request.flag("x-ms-documentdb-populatequotainfo"):
            response.headers.update(_quota(container))
        return response

    def partition_key_ranges(self, request: Request, container: Container) -> Response:
        """Answer `pkranges`: the physical partitions."""
        etag = f'"{container.rid}-{container.partitions.newest}"'
        if request.headers.get("if-none-match") == etag:
            return Response(304, b"", {"etag": etag}, 0.0)
        ranges: list[Json] = [
            {
                "_rid": f"{container.rid}ranges",
                "id": range_id,
                "_etag": etag,
                "minInclusive": epk_range.low.hex().upper(),
                "maxExclusive": "FF" if epk_range.high is None else epk_range.high.hex().upper(),
                "ridPrefix": int(range_id),
                "_self": f"{container.self_link}pkranges/{range_id}/",
                "throughputFraction": 1 / len(container.ranges),
                "status": "online",
                "parents": list(container.partitions.parents[range_id]),
                "_ts": container.row.ts,
            }
            for range_id, epk_range in container.ranges.items()
        ]
        body: JsonObject = {"_rid": container.rid, "PartitionKeyRanges": ranges, "_count": len(ranges)}
        return json_response(200, body, 0.0, etag=etag)

    def offers(self, request: Request, tail: list[str]) -> Response:
        """Answer `/offers`: the throughput of databases and containers."""
        offers = self._offers()
        if not tail:
            return self._listed(request, "Offers", list(offers.values()))
        offer = offers.get(tail[0])
        if offer is None:
            raise not_found()
        if request.method == "GET":
            return json_response(200, offer)
        if request.method != "PUT":
            raise _method(request)
        return json_response(200, self._replace_offer(tail[0], request.json_object()), 9.9)

    def _replace_offer(self, rid: str, body: JsonObject) -> JsonObject:
        content = body.get("content")
        throughput = content.get("offerThroughput") if isinstance(content, dict) else None
        if isinstance(content, dict) and content.get("offerAutopilotSettings"):
            raise unsupported("Autoscale throughput")
        checked = _checked_throughput(throughput)
        for container in self._catalog.all_containers():
            if _offer_rid(container.rid) == rid:
                self._catalog.set_throughput(container.name, checked)
        for row in self._catalog.databases():
            if _offer_rid(identity.database_rid(row.number)) == rid:
                self._catalog.set_database_throughput(row.id, checked)
        return self._offers()[rid]

    def _offers(self) -> dict[str, JsonObject]:
        offers: dict[str, JsonObject] = {}
        for row in self._catalog.databases():
            if row.throughput is not None:
                rid = identity.database_rid(row.number)
                offers[_offer_rid(rid)] = _offer(rid, f"dbs/{rid}/", row.throughput, row.ts)
        for container in self._catalog.all_containers():
            shared = self._catalog.database(container.name.database).throughput is not None
            throughput = container.row.throughput or (None if shared else LEAST_THROUGHPUT)
            if throughput is not None:
                offers[_offer_rid(container.rid)] = _offer(
                    container.rid, container.self_link, throughput, container.row.ts
                )
        return offers

    def _listed(self, request: Request, name: str, entries: list[JsonObject]) -> Response:
        found: list[Json] = list(entries)
        if request.method == "POST":
            text, parameters = parse_query_body(request)
            rows = [Row((b"", at), entry) for at, entry in enumerate(entries, 1)]
            page = compile_query(text).run(rows, dict(parameters), 0, PageRequest(_EVERYTHING))
            found = [orjson.loads(result) for result in page.results]
        body: JsonObject = {"_rid": "", name: found, "_count": len(found)}
        return json_response(200, body, 1.0, **{"x-ms-item-count": str(len(found))})


def _quota(container: Container) -> dict[str, str]:
    """Describe a container's size in kilobytes, in the form of the service's headers."""
    extent = container.table.measure(b"", None)
    size = extent.size // charges.KILOBYTE
    usage = f"documentSize=0;documentsSize={size};documentsCount={extent.items};collectionSize={size};"
    quota = "documentSize=10240;documentsSize=20971520;documentsCount=-1;collectionSize=20971520;"
    return {"x-ms-resource-usage": usage, "x-ms-resource-quota": quota}


def _statistics(range_id: str, epk_range: EpkRange, container: Container) -> JsonObject:
    """Describe a physical partition's size; keys are listed by the service only from a gigabyte on."""
    extent = container.table.measure(epk_range.low, epk_range.high)
    return {
        "id": range_id,
        "sizeInKB": extent.size // charges.KILOBYTE,
        "documentCount": extent.items,
        "sampledDistinctPartitionKeyCount": extent.partitions,
        "partitionKeys": [],
    }


def _method(request: Request) -> CosmosError:
    return CosmosError(405, f"The method {request.method} is not allowed on {request.path}.")


def _throughput(request: Request) -> int | None:
    if "x-ms-cosmos-offer-autopilot-settings" in request.headers:
        raise unsupported("Autoscale throughput")
    header = request.headers.get("x-ms-offer-throughput")
    if header is None:
        return None
    if not header.isdecimal():
        raise bad_request(f"The offer throughput {header!r} is invalid.")
    return _checked_throughput(int(header))


def _checked_throughput(value: Json) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < LEAST_THROUGHPUT or value % 100:
        raise bad_request(
            f"The offer should have valid throughput values between {LEAST_THROUGHPUT} and 1000000 "
            "inclusive in "
            "increments of 100."
        )
    return value


def _offer_rid(rid: str) -> str:
    return "offer-" + rid.rstrip("=").lower()


def _offer(rid: str, resource: str, throughput: int, ts: int) -> JsonObject:
    offer_rid = _offer_rid(rid)
    return {
        "resource": resource,
        "offerType": "Invalid",
        "offerResourceId": rid,
        "offerVersion": "V2",
        "content": {"offerThroughput": throughput, "offerIsRUPerMinuteThroughputEnabled": False},
        "id": offer_rid,
        "_rid": offer_rid,
        "_self": f"offers/{offer_rid}/",
        "_etag": '"local"',
        "_ts": ts,
    }
