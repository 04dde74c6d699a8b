"""Operations on items: headers, conditions, sessions, batches, and containers that were made anew."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest
from azure.core import MatchConditions as SdkMatchConditions

from tenantry_client.cosmos.container_operations import ContainerOperations
from tenantry_client.cosmos.documents import MatchConditions
from tenantry_client.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosBatchOperationError,
    CosmosHttpResponseError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
    DecodeError,
)
from tenantry_client.cosmos.item_feed import ItemFeed
from tenantry_client.cosmos.item_reading import ItemReader
from tests.unit_tests.tenantry_client.cosmos.scripted_transport import (
    RID,
    ScriptedTransport,
    account,
    answer,
    container_properties,
    operations_on,
    physical_partitions,
    state_on,
)

if TYPE_CHECKING:
    from tenantry_client.cosmos.answers import Answer
    from tenantry_client.cosmos.item_batches import BatchStep
    from tests.unit_tests.tenantry_client.cosmos.scripted_transport import Sent, Step

ITEM = {"id": "1", "pk": "p"}


def session(token: str, range_id: str = "0") -> dict[str, object]:
    return {"x_ms_session_token": token, "x_ms_documentdb_partitionkeyrangeid": range_id}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, CosmosResourceNotFoundError),
        (409, CosmosResourceExistsError),
        (412, CosmosAccessConditionFailedError),
        (413, CosmosHttpResponseError),
    ],
)
async def test_the_status_alone_decides_about_the_error(status: int, kind: type[Exception]) -> None:
    transport = ScriptedTransport([answer(status, {"message": "404 409 412"}, x_ms_substatus=7)])
    with pytest.raises(kind) as refused:
        await operations_on(transport).replace("1", ITEM, {})
    error = refused.value
    assert isinstance(error, CosmosHttpResponseError)
    assert type(error) is kind
    assert (error.status_code, error.sub_status, error.headers["X-MS-Substatus"]) == (status, 7, "7")
    assert "404 409 412" in str(error.http_error_message)


@pytest.mark.parametrize("conditions", [MatchConditions, SdkMatchConditions])
@pytest.mark.parametrize(
    ("name", "etag", "header"),
    [
        ("IfNotModified", '"e"', ("if-match", '"e"')),
        ("IfModified", '"e"', ("if-none-match", '"e"')),
        ("IfPresent", None, ("if-match", "*")),
        ("IfMissing", None, ("if-none-match", "*")),
    ],
)
async def test_a_condition_is_the_header_that_the_sdk_sends(
    conditions: type[MatchConditions], name: str, etag: str | None, header: tuple[str, str]
) -> None:
    transport = ScriptedTransport([answer(200, ITEM)])
    options = {"match_condition": conditions[name]} | ({} if etag is None else {"etag": etag})
    await operations_on(transport).upsert(ITEM, options)
    assert transport.sent[0].headers[header[0]] == header[1]


@pytest.mark.parametrize("options", [{"etag": "e"}, {"match_condition": MatchConditions.IfModified}])
async def test_half_a_condition_is_refused_and_nothing_is_sent(options: dict[str, object]) -> None:
    transport = ScriptedTransport()
    with pytest.raises(ValueError, match="specified without"):
        await operations_on(transport).delete("1", "p", options)
    assert transport.sent == []


async def test_no_value_can_add_a_header() -> None:
    operations = operations_on(ScriptedTransport())
    for options in (
        {"session_token": "0:1\r\nx-evil: 1"},
        {"initial_headers": {"x": "a\r\nb: c"}},
        {"initial_headers": {"x: y\r\nz": "a"}},
        {"etag": "e\n", "match_condition": MatchConditions.IfModified},
    ):
        with pytest.raises(ValueError, match="cannot be sent"):
            await operations.read("1", "p", options)


async def test_an_unknown_keyword_is_refused_by_its_name() -> None:
    with pytest.raises(TypeError, match="no_such"):
        await operations_on(ScriptedTransport()).read("1", "p", {"no_such": 1})


async def test_options_become_the_sdk_s_headers() -> None:
    transport = ScriptedTransport([answer(200)])
    result = await operations_on(transport).upsert(
        ITEM,
        {"no_response": True, "throughput_bucket": 2, "priority": "Low", "initial_headers": {"x-own": "1"}},
    )
    headers = transport.sent[0].headers
    assert result == {}
    assert headers["prefer"] == "return=minimal"
    assert headers["x-ms-cosmos-throughput-bucket"] == "2"
    assert headers["x-ms-cosmos-priority-level"] == "Low"
    assert headers["x-own"] == "1"
    assert headers["x-ms-cosmos-intended-collection-rid"] == RID
    assert headers["x-ms-documentdb-partitionkey"] == '["p"]'


async def test_the_hook_gets_headers_and_body() -> None:
    heard: list[tuple[str, object]] = []
    transport = ScriptedTransport([answer(200, ITEM, x_ms_request_charge="2.5")])
    options = {"response_hook": lambda headers, body: heard.append((headers["x-ms-request-charge"], body))}
    await operations_on(transport).read("1", "p", options)
    assert heard == [("2.5", ITEM)]


async def test_a_read_that_finds_nothing_new_is_empty() -> None:
    result = await operations_on(ScriptedTransport([answer(304)])).read("1", "p", {})
    assert result == {}
    assert "x-ms-activity-id" in result.get_response_headers()


async def test_a_body_that_is_no_json_is_no_item() -> None:
    broken = answer(200)
    broken.body = b'{"id": "1", "p'
    with pytest.raises(DecodeError):
        await operations_on(ScriptedTransport([broken])).read("1", "p", {})


async def test_an_answer_without_what_was_asked_for_is_no_empty_one() -> None:
    operations = operations_on(ScriptedTransport([answer(200), answer(200, [{"statusCode": 201}])]))
    with pytest.raises(DecodeError, match="without the item"):
        await operations.read("1", "p", {})
    with pytest.raises(DecodeError, match="2 operations was answered with 1"):
        await operations.batch([("read", ("1",)), ("read", ("2",))], "p", {})

    bodies: list[object] = [None, {}, {"Documents": None}, []]
    for body in bodies:
        feed = ItemFeed(state_on(ScriptedTransport([answer(200, body)])), "SELECT * FROM c", {})
        with pytest.raises(DecodeError, match="without the list of results"):
            await feed.next()


async def test_a_container_that_was_made_anew_is_looked_up_once_and_asked_again() -> None:
    def gone(_: Sent) -> Answer:
        transport.container = container_properties(rid="other-rid")
        return answer(400, {}, x_ms_substatus=1024)

    transport = ScriptedTransport([gone, answer(200, ITEM)])
    await operations_on(transport).read("1", "p", {})
    assert [sent.headers["x-ms-cosmos-intended-collection-rid"] for sent in transport.sent] == [
        RID,
        "other-rid",
    ]


async def test_reads_carry_what_the_client_has_seen_of_their_partition() -> None:
    script: list[Step] = [
        answer(201, ITEM, **session("0:-1#5")),
        answer(200, ITEM, **session("0:-1#3")),
        answer(200, ITEM),
        answer(200, ITEM),
    ]
    transport = ScriptedTransport(script, account(consistency="Session"))
    operations = operations_on(transport)
    await operations.create(ITEM, {})
    for _ in range(2):
        await operations.read("1", "p", {})
    await operations.read("1", "p", {"session_token": "0:-1#9"})
    assert [sent.headers.get("x-ms-session-token") for sent in transport.sent] == [
        None,
        "0:-1#5",
        "0:-1#5",
        "0:-1#9",
    ]


async def test_no_read_carries_what_belongs_to_another_partition() -> None:
    transport = ScriptedTransport(
        [answer(201, ITEM, **session("1:-1#5", "1")), *(answer(200, ITEM) for _ in "abcdef")],
        account(consistency="Session"),
        partitions=physical_partitions("", "20"),
    )
    operations = operations_on(transport)
    await operations.create(ITEM, {})
    for key in "abcdef":
        await operations.read("1", key, {})
    tokens = {sent.headers.get("x-ms-session-token") for sent in transport.sent[1:]}
    assert tokens == {None, "1:-1#5"}


async def test_without_session_consistency_no_token_is_sent_and_no_partition_asked_for() -> None:
    transport = ScriptedTransport([answer(201, ITEM, **session("0:-1#5")), answer(200, ITEM)])
    operations = operations_on(transport)
    await operations.create(ITEM, {})
    await operations.read("1", "p", {})
    assert "x-ms-session-token" not in transport.sent[1].headers
    assert not any(path.endswith("pkranges") for path in transport.known)


async def test_a_batch_that_failed_names_the_operation_that_did() -> None:
    results = [{"statusCode": 424}, {"statusCode": 409}, {"statusCode": 424}]
    transport = ScriptedTransport([answer(207, results)])
    steps: list[BatchStep] = [("create", (ITEM,)), ("create", (ITEM,)), ("read", ("1",))]
    with pytest.raises(CosmosBatchOperationError) as failed:
        await operations_on(transport).batch(steps, "p", {})
    assert (failed.value.error_index, failed.value.status_code) == (1, 409)
    assert failed.value.operation_responses == results


async def test_a_batch_is_written_as_the_service_reads_it() -> None:
    transport = ScriptedTransport([answer(200, [{"statusCode": 200}] * 4)])
    steps: list[BatchStep] = [
        ("upsert", (ITEM,)),
        ("replace", ("1", ITEM), {"if_match_etag": "e"}),
        ("patch", ("1", [{"op": "incr", "path": "/n", "value": 1}]), {"filter_predicate": "from c"}),
        ("delete", ("1",)),
    ]
    given = copy.deepcopy(steps)
    await operations_on(transport).batch(steps, "p", {})
    assert steps == given, "the caller's keywords stay"
    assert transport.sent[0].json() == [
        {"operationType": "Upsert", "resourceBody": ITEM},
        {"operationType": "Replace", "id": "1", "resourceBody": ITEM, "ifMatch": "e"},
        {
            "operationType": "Patch",
            "id": "1",
            "resourceBody": {"operations": [{"op": "incr", "path": "/n", "value": 1}], "condition": "from c"},
        },
        {"operationType": "Delete", "id": "1"},
    ]


@pytest.mark.parametrize("step", [("create", ()), ("rename", ("1",)), ("patch", ("1",))])
async def test_a_step_that_is_none_is_refused(step: tuple[str, tuple[str, ...]]) -> None:
    with pytest.raises(AttributeError, match="index 0"):
        await operations_on(ScriptedTransport()).batch([step], "p", {})


async def test_one_read_may_ask_for_less_than_the_client_s_consistency() -> None:
    transport = ScriptedTransport(
        [answer(201, ITEM, **session("0:1#5")), *[answer(200, ITEM)] * 2],
        account(consistency="Session"),
    )
    state = state_on(transport)
    operations = ContainerOperations(state)
    await operations.create(ITEM, {})
    items = [("1", "p")]
    await ItemReader(state, operations, {}).read(items)
    await ItemReader(state, operations, {"consistency_level": "Eventual"}).read(items)

    levels = [sent.headers["x-ms-consistency-level"] for sent in transport.sent]
    assert levels == ["Session", "Session", "Eventual"]
    assert ["x-ms-session-token" in sent.headers for sent in transport.sent] == [False, True, False]
    with pytest.raises(ValueError, match="no consistency level 'Some'"):
        await ItemReader(state, operations, {"consistency_level": "Some"}).read(items)
