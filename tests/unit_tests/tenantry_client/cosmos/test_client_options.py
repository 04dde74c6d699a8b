"""Keywords, credentials and constants of a client, by azure-cosmos's names."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import azure.cosmos
import azure.cosmos.partition_key
import pytest

import tenantry_client.cosmos
import tenantry_client.cosmos.aio
from tenantry_client.cosmos import PartitionKey, partition_key
from tenantry_client.cosmos.aio.racing import race
from tenantry_client.cosmos.client_core import ClientCore, parse_connection_string
from tenantry_client.cosmos.container_operations import ContainerOperations
from tenantry_client.cosmos.exceptions import CosmosHttpResponseError
from tests.support.memory_cosmos import memory_cosmos
from tests.unit_tests.tenantry_client.cosmos.scripted_transport import (
    KEY,
    URL,
    ScriptedTransport,
    account,
    answer,
    operations_on,
    state_on,
)
from tests.unit_tests.tenantry_client.cosmos.two_clients import Side

if TYPE_CHECKING:
    from tests.support.fakes import FakeClock

ITEM = {"id": "1", "pk": "p"}


async def headers_of_a_read(**options: object) -> dict[str, str]:
    """Return the headers that a client with these keywords reads an item with."""
    transport = ScriptedTransport([answer(200, ITEM)])
    await operations_on(transport, **options).read("1", "p", {})
    return transport.sent[0].headers


@pytest.mark.parametrize(
    ("options", "header", "value"),
    [
        ({"throughput_bucket": 2}, "x-ms-cosmos-throughput-bucket", "2"),
        ({"priority": "Low"}, "x-ms-cosmos-priority-level", "Low"),
        ({"consistency_level": "Eventual"}, "x-ms-consistency-level", "Eventual"),
        ({}, "x-ms-consistency-level", None),
    ],
)
async def test_a_keyword_of_the_client_is_a_header_of_each_request(
    options: dict[str, object], header: str, value: str | None
) -> None:
    assert (await headers_of_a_read(**options)).get(header) == value


async def test_the_user_agent_ends_with_what_the_program_adds() -> None:
    agent = (await headers_of_a_read(user_agent_suffix="shop/3"))["user-agent"]
    assert agent.startswith("tenantry-client-cosmos/")
    assert agent.endswith(" shop/3")


async def test_writes_leave_the_item_out_as_the_client_says_unless_a_call_says_otherwise() -> None:
    transport = ScriptedTransport([answer(201), answer(201, ITEM)])
    operations = operations_on(transport, no_response_on_write=True)
    assert await operations.create(ITEM, {}) == {}
    assert await operations.create(ITEM, {"no_response": False}) == ITEM
    assert [sent.headers.get("prefer") for sent in transport.sent] == ["return=minimal", None]


async def test_the_client_s_times_are_those_of_each_attempt_unless_a_call_names_others() -> None:
    transport = ScriptedTransport([answer(200, ITEM)] * 2)
    operations = operations_on(transport, connection_timeout=2, read_timeout=7)
    await operations.read("1", "p", {})
    await operations.read("1", "p", {"read_timeout": 3})
    assert [(sent.deadlines.connect, sent.deadlines.read) for sent in transport.sent] == [(2, 7), (2, 3)]


async def test_a_fixed_interval_takes_the_place_of_what_the_service_names() -> None:
    throttled = answer(429, {}, x_ms_retry_after_ms=900)
    transport = ScriptedTransport([throttled, answer(200, ITEM)])
    await operations_on(transport, retry_fixed_interval=20).read("1", "p", {})
    assert transport.sleeps == [0.02]


@pytest.mark.parametrize("name", ["retry_throttle_backoff_max", "retry_backoff_max"])
async def test_the_waits_for_an_operation_have_the_bound_that_the_client_names(name: str) -> None:
    transport = ScriptedTransport([answer(429, {}, x_ms_retry_after_ms=900)] * 9)
    with pytest.raises(CosmosHttpResponseError):
        await operations_on(transport, **{name: 1}).read("1", "p", {})
    assert transport.sleeps == [0.9, 0.9]


@pytest.mark.parametrize(
    ("options", "sent"), [({"retry_total": 2}, 3), ({"retry_total": 5, "retry_throttle_total": 1}, 2)]
)
async def test_the_total_holds_where_nothing_finer_is_named(options: dict[str, object], sent: int) -> None:
    transport = ScriptedTransport([answer(429, {})] * 9)
    with pytest.raises(CosmosHttpResponseError):
        await operations_on(transport, **options).read("1", "p", {})
    assert len(transport.sent) == sent


async def test_bodies_are_utf_8_whatever_is_said_about_it() -> None:
    for said in (True, False):
        transport = ScriptedTransport([answer(201, ITEM)])
        await operations_on(transport, enable_compact_utf8_item_writes=said).create({**ITEM, "t": "ü€"}, {})
        assert "ü€".encode() in transport.sent[0].body


async def test_writes_go_to_the_preferred_region_where_all_take_them() -> None:
    known = account("east", "west") | {"enableMultipleWriteLocations": True}
    known["writableLocations"] = known["readableLocations"]
    transport = ScriptedTransport([answer(201, ITEM)], known)
    options = {"multiple_write_locations": True, "preferred_locations": ["west"]}
    await operations_on(transport, **options).create(ITEM, {})
    assert transport.sent[0].place.startswith("west")


def test_an_unknown_keyword_of_a_client_is_refused_by_its_name() -> None:
    with pytest.raises(TypeError, match="proxy_config"):
        state_on(ScriptedTransport(), proxy_config=object())


def test_a_client_of_a_connection_string_is_that_account_s() -> None:
    key = "c2VjcmV0cw=="
    text = f"AccountEndpoint={URL};AccountKey={key};"
    assert parse_connection_string(text) == (URL, key)
    with pytest.raises(ValueError, match="AccountKey"):
        parse_connection_string(f"AccountEndpoint={URL};")
    client = tenantry_client.cosmos.aio.CosmosClient.from_connection_string(text, user_agent_suffix="x")
    assert repr(client) == f"<CosmosClient [{URL}]>"
    assert key not in repr(client.client_connection)


@dataclass
class Credential:
    """A credential of azure-identity, as far as it is used."""

    unknown_account: bool = False
    lifetime: float = 3600
    scopes: list[str] = field(default_factory=list)

    async def get_token(self, scope: str) -> Any:  # noqa: ANN401 - has what an access token has
        self.scopes.append(scope)
        if self.unknown_account and "documents" in scope:
            raise ValueError("AADSTS500011: no such resource")
        return Token(f"t{len(self.scopes)}", time.time() + self.lifetime)


class BlockingCredential(Credential):
    """The same without asyncio."""

    def get_token(self, scope: str) -> Any:  # noqa: ANN401 - has what an access token has
        self.scopes.append(scope)
        return Token("t1", time.time() + self.lifetime)


@dataclass
class Token:
    """An access token."""

    token: str
    expires_on: float


def operations_as(credential: Any, transport: ScriptedTransport) -> ContainerOperations:  # noqa: ANN401 - of any kind
    return ContainerOperations(ClientCore(URL, credential, {}, transport, race).container("db", "items"))


@pytest.mark.parametrize("kind", [Credential, BlockingCredential])
async def test_a_token_of_entra_id_signs_each_request_until_shortly_before_it_ends(
    kind: type[Credential],
) -> None:
    credential, transport = kind(), ScriptedTransport([answer(200, ITEM)] * 2)
    operations = operations_as(credential, transport)
    for _ in range(2):
        await operations.read("1", "p", {})
    assert credential.scopes == ["https://acme.documents.example/.default"]
    assert {sent.headers["authorization"] for sent in transport.sent} == {"type=aad&ver=1.0&sig=t1"}


async def test_a_token_that_is_about_to_end_is_renewed() -> None:
    credential, transport = Credential(lifetime=0), ScriptedTransport([answer(200, ITEM)] * 2)
    operations = operations_as(credential, transport)
    for _ in range(2):
        await operations.read("1", "p", {})
    first, second = (sent.headers["authorization"] for sent in transport.sent)
    assert first != second


async def test_an_account_that_entra_id_does_not_know_is_asked_for_as_any() -> None:
    credential, transport = Credential(unknown_account=True), ScriptedTransport([answer(200, ITEM)])
    await operations_as(credential, transport).read("1", "p", {})
    assert credential.scopes[-1] == "https://cosmos.azure.com/.default"


async def test_a_resource_token_signs_what_it_is_for_and_nothing_else() -> None:
    tokens = {"dbs/db/colls/items": "type=resource&ver=1&sig=a=;b", "dbs/other": "of another"}
    transport = ScriptedTransport([answer(200, ITEM)])
    core = ClientCore(URL, tokens, {"enable_endpoint_discovery": False}, transport)
    signer = core.gateway._signer  # noqa: SLF001 - which of the tokens it takes
    signed = await signer.sign("get", "docs", "dbs/db/colls/items/docs/1")
    assert signed.splitlines()[1] == "authorization: type%3Dresource%26ver%3D1%26sig%3Da%3D%3Bb"
    with pytest.raises(ValueError, match="no token"):
        await signer.sign("get", "docs", "dbs/third/colls/items")


@pytest.mark.parametrize("credential", [{"masterKey": KEY}, KEY])
async def test_a_key_signs_however_it_is_given(credential: object) -> None:
    transport = ScriptedTransport([answer(200, ITEM)])
    await operations_as(credential, transport).read("1", "p", {})
    assert transport.sent[0].headers["authorization"].startswith("type%3Dmaster")


def test_what_is_no_credential_is_refused() -> None:
    with pytest.raises(TypeError, match="credential"):
        operations_as(7, ScriptedTransport())


@pytest.mark.parametrize("path", ["/pk", ["/a", "/b"]])
def test_a_partition_key_is_defined_as_there(path: Any) -> None:  # noqa: ANN401 - one path, or several
    theirs = azure.cosmos.PartitionKey(path, kind="Hash" if isinstance(path, str) else "MultiHash")
    ours = PartitionKey(path)
    assert dict(ours) == dict(theirs)
    assert (ours.kind, ours.path, ours.version) == (theirs.kind, theirs.path, theirs.version)


def test_levels_of_consistency_have_the_names_that_they_have_there() -> None:
    levels = {name: value for name, value in vars(azure.cosmos.ConsistencyLevel).items() if name[0] != "_"}
    ours = vars(tenantry_client.cosmos.ConsistencyLevel)
    assert {name: ours[name] for name in levels} == levels


async def test_a_key_that_is_null_and_one_that_is_missing_are_two(clock: FakeClock) -> None:
    for own, kinds in ((False, azure.cosmos.partition_key), (True, partition_key)):
        async with memory_cosmos(clock) as cosmos:
            side = Side(cosmos, own=own)
            await side.run("create_item", {"id": "null", "tenant_id": None})
            await side.run("create_item", {"id": "none"})
            for key, name in ((kinds.NullPartitionKeyValue, "null"), (kinds.NonePartitionKeyValue, "none")):
                assert (await side.run("read_item", name, key)).result["id"] == name
            found = await side.run(
                "query_items", "SELECT VALUE c.id FROM c", partition_key=kinds.NullPartitionKeyValue
            )
            assert found.result == [["null"]]
            everything = await side.run("query_items", "SELECT VALUE c.id FROM c")
            assert sorted(everything.result[0]) == ["none", "null"]
