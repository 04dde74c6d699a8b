"""Requests are sent again where that is safe, to where they can be answered, for as long as they may take."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from tenantry_client.cosmos.exceptions import (
    CosmosClientTimeoutError,
    CosmosHttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from tenantry_client.cosmos.request_signing import MasterKeySigner
from tenantry_client.cosmos.transport import AnswerLostError, NotSentError
from tests.unit_tests.tenantry_client.cosmos.scripted_transport import (
    KEY,
    ScriptedTransport,
    account,
    answer,
    operations_on,
)

if TYPE_CHECKING:
    from tenantry_client.cosmos.answers import Answer
    from tests.unit_tests.tenantry_client.cosmos.scripted_transport import Sent, Step

ITEM = {"id": "1", "pk": "p"}
THROTTLED = answer(429, {"message": "slow down"}, x_ms_retry_after_ms=120)


def places(transport: ScriptedTransport) -> list[str]:
    return [sent.place.split(".")[0] for sent in transport.sent]


async def test_a_request_is_signed_over_its_method_its_resource_and_its_date() -> None:
    transport = ScriptedTransport([answer(200, ITEM)])
    await operations_on(transport).read("a b", "p", {})

    sent = transport.sent[0]
    text = f"get\ndocs\ndbs/db/colls/items/docs/a b\n{sent.headers['x-ms-date'].lower()}\n\n"
    signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), text.encode(), hashlib.sha256)).decode()
    assert sent.path == "/dbs/db/colls/items/docs/a%20b"
    assert unquote(sent.headers["authorization"]) == f"type=master&ver=1.0&sig={signature}"


async def test_each_of_very_many_resources_has_its_own_signature() -> None:
    signer, lines = MasterKeySigner(KEY), {}
    for number in range(2500):
        lines[number] = await signer.sign("get", "docs", f"docs/{number}")
        assert await signer.sign("put", "docs", f"docs/{number}") != lines[number]
    assert len(set(lines.values())) == 2500


async def test_a_throttled_request_waits_as_long_as_the_service_says() -> None:
    transport = ScriptedTransport([THROTTLED, THROTTLED, answer(201, ITEM)])
    await operations_on(transport).create(ITEM, {})
    assert transport.sleeps == [0.12, 0.12]
    assert len({sent.headers["x-ms-activity-id"] for sent in transport.sent}) == 3


@pytest.mark.parametrize(("attempts", "sent"), [(0, 1), (2, 3)])
async def test_it_is_sent_as_often_as_the_client_was_told(attempts: int, sent: int) -> None:
    transport = ScriptedTransport([THROTTLED] * 5)
    with pytest.raises(CosmosHttpResponseError) as refused:
        await operations_on(transport, retry_throttle_total=attempts).read("1", "p", {})
    assert (refused.value.status_code, len(transport.sent)) == (429, sent)


async def test_all_waits_of_an_operation_together_have_a_bound() -> None:
    long = answer(429, {}, x_ms_retry_after_ms=20_000)
    transport = ScriptedTransport([long] * 9)
    with pytest.raises(CosmosHttpResponseError):
        await operations_on(transport).read("1", "p", {})
    assert transport.sleeps == [20.0, 20.0]


async def test_a_write_whose_answer_was_lost_is_not_sent_again() -> None:
    transport = ScriptedTransport([AnswerLostError("cut"), answer(201, ITEM)])
    with pytest.raises(ServiceResponseError, match="cut"):
        await operations_on(transport).create(ITEM, {})
    assert len(transport.sent) == 1


async def test_it_is_where_its_caller_says_that_it_may_be() -> None:
    transport = ScriptedTransport([AnswerLostError("cut"), answer(201, ITEM)])
    assert await operations_on(transport).create(ITEM, {"retry_write": 1}) == ITEM


@pytest.mark.parametrize(
    "failure", [answer(408, {}), answer(500, {}), answer(503, {}), AnswerLostError("cut")]
)
async def test_a_client_may_be_told_once_that_its_writes_may_be_sent_again(failure: Step) -> None:
    for options in ({"retry_write": 1}, {"retry_write": 1, "enable_endpoint_discovery": False}):
        transport = ScriptedTransport([failure, answer(201, ITEM)])
        assert await operations_on(transport, **options).create(ITEM, {}) == ITEM

    transport = ScriptedTransport([failure, answer(201, ITEM)])
    with pytest.raises((CosmosHttpResponseError, ServiceResponseError)):
        await operations_on(transport, retry_write=1).create(ITEM, {"retry_write": 0})


async def test_a_patch_is_sent_again_only_where_its_own_caller_says_so() -> None:
    patch = [{"op": "incr", "path": "/n", "value": 1}]
    transport = ScriptedTransport([AnswerLostError("cut"), answer(200, ITEM)])
    operations = operations_on(transport, retry_write=1)
    with pytest.raises(ServiceResponseError):
        await operations.patch("1", "p", patch, {})
    transport.script.insert(0, AnswerLostError("cut"))
    assert await operations.patch("1", "p", patch, {"retry_write": 1}) == ITEM


async def test_a_read_whose_answer_was_lost_is_asked_again() -> None:
    transport = ScriptedTransport([AnswerLostError("cut"), answer(200, ITEM)])
    assert await operations_on(transport).read("1", "p", {}) == ITEM


async def test_a_write_that_did_not_leave_is_sent_again() -> None:
    transport = ScriptedTransport([NotSentError("refused"), answer(201, ITEM)])
    assert await operations_on(transport).create(ITEM, {}) == ITEM


async def test_attempts_at_connecting_end() -> None:
    transport = ScriptedTransport([NotSentError("refused")] * 9)
    with pytest.raises(ServiceRequestError):
        await operations_on(transport, retry_connect=2).create(ITEM, {})
    assert len(transport.sent) == 3


async def test_the_answer_to_another_request_is_never_taken() -> None:
    def late(_: Sent) -> Answer:
        return answer(200, {"id": "2"}, x_ms_activity_id="another")

    transport = ScriptedTransport([late, answer(200, ITEM)])
    assert await operations_on(transport).read("1", "p", {}) == ITEM

    transport = ScriptedTransport([late])
    with pytest.raises(ServiceResponseError, match="another request"):
        await operations_on(transport).upsert(ITEM, {})


async def test_a_read_goes_to_the_preferred_region_and_a_write_to_the_one_that_takes_it() -> None:
    transport = ScriptedTransport([answer(200, ITEM), answer(201, ITEM)], account("east", "west"))
    operations = operations_on(transport, preferred_locations=["west"])
    await operations.read("1", "p", {})
    await operations.create(ITEM, {})
    assert places(transport) == ["west", "east"]


@pytest.mark.parametrize("failure", [answer(408, {}), answer(503, {}), answer(500, {}), NotSentError("down")])
async def test_a_read_fails_over_and_the_region_that_failed_is_asked_last_from_then_on(
    failure: Step,
) -> None:
    transport = ScriptedTransport([failure, answer(200, ITEM), answer(200, ITEM)], account("east", "west"))
    operations = operations_on(transport)
    await operations.read("1", "p", {})
    await operations.read("1", "p", {})
    assert places(transport) == ["east", "west", "west"]


async def test_a_write_follows_the_region_that_takes_writes_now() -> None:
    def moved(_: Sent) -> Answer:
        transport.account = account("east", "west", writes="west")
        return answer(403, {}, x_ms_substatus=3)

    transport = ScriptedTransport([moved, answer(201, ITEM)], account("east", "west"))
    await operations_on(transport).create(ITEM, {})
    assert places(transport) == ["east", "west"]


async def test_a_region_that_is_behind_leaves_a_session_read_to_the_one_that_writes() -> None:
    behind = answer(404, {}, x_ms_substatus=1002)
    transport = ScriptedTransport([behind, answer(200, ITEM)], account("east", "west"))
    await operations_on(transport, preferred_locations=["west"]).read("1", "p", {})
    assert places(transport) == ["west", "east"]


async def test_where_all_regions_take_writes_each_is_asked_once_whether_it_has_caught_up() -> None:
    behind = answer(404, {}, x_ms_substatus=1002)
    known = account("east", "west", "north") | {"enableMultipleWriteLocations": True}
    known["writableLocations"] = known["readableLocations"]
    transport = ScriptedTransport([behind] * 3, known)
    with pytest.raises(CosmosHttpResponseError):
        await operations_on(transport, multiple_write_locations=True).read("1", "p", {})
    assert sorted(places(transport)) == ["east", "north", "west"]


@pytest.mark.parametrize("status", [400, 401, 408, 409, 410, 412, 413, 449, 500, 502, 503])
async def test_a_write_that_the_service_refused_or_failed_at_is_not_sent_again(status: int) -> None:
    transport = ScriptedTransport([answer(status, {})] * 2, account("east", "west"))
    with pytest.raises(CosmosHttpResponseError):
        await operations_on(transport).create(ITEM, {})
    assert len(transport.sent) == 1


@pytest.mark.parametrize("status", [400, 401, 409, 412, 449])
async def test_a_read_that_the_service_refused_is_not_sent_again(status: int) -> None:
    transport = ScriptedTransport([answer(status, {})] * 2, account("east", "west"))
    with pytest.raises(CosmosHttpResponseError):
        await operations_on(transport).read("1", "p", {})
    assert len(transport.sent) == 1


async def test_a_region_that_the_client_excludes_is_not_asked_unless_a_call_says_otherwise() -> None:
    transport = ScriptedTransport([answer(200, ITEM)] * 2, account("east", "west"))
    operations = operations_on(transport, excluded_locations=["east"])
    await operations.read("1", "p", {})
    await operations.read("1", "p", {"excluded_locations": []})
    assert places(transport) == ["west", "east"]


async def test_an_excluded_region_is_not_asked() -> None:
    transport = ScriptedTransport([answer(200, ITEM)], account("east", "west"))
    await operations_on(transport).read("1", "p", {"excluded_locations": ["east"]})
    assert places(transport) == ["west"]


async def test_without_discovery_only_the_given_address_is_asked() -> None:
    transport = ScriptedTransport([answer(503, {})], account("east", "west"))
    with pytest.raises(CosmosHttpResponseError):
        await operations_on(transport, enable_endpoint_discovery=False).read("1", "p", {})
    assert places(transport) == ["acme"]


async def test_an_operation_whose_time_is_over_is_not_tried_again() -> None:
    transport = ScriptedTransport([answer(200, ITEM)])
    with pytest.raises(CosmosClientTimeoutError):
        await operations_on(transport).read("1", "p", {"timeout": 0})
    assert (transport.sent, transport.known) == ([], []), "what it has to know first takes of the same time"


async def test_a_client_s_own_timeout_holds_for_each_operation_that_names_none() -> None:
    transport = ScriptedTransport([answer(200, ITEM)] * 2)
    operations = operations_on(transport, timeout=3)
    await operations.read("1", "p", {})
    await operations.read("1", "p", {"timeout": 9})
    first, second = (sent.deadlines.read for sent in transport.sent)
    assert first <= 3 < second <= 9


async def test_no_wait_is_longer_than_the_operation_may_take() -> None:
    long = answer(429, {}, x_ms_retry_after_ms=20_000)
    transport = ScriptedTransport([long, answer(200, ITEM)])
    await operations_on(transport).read("1", "p", {"timeout": 2})
    assert transport.sleeps[0] <= 2


@pytest.mark.parametrize("status", [301, 302, 307])
async def test_a_redirection_is_no_answer(status: int) -> None:
    transport = ScriptedTransport([answer(status, {"id": "another"})])
    with pytest.raises(ServiceResponseError, match="redirection"):
        await operations_on(transport).upsert(ITEM, {})


async def test_what_the_service_has_said_is_sent_back_to_the_letter() -> None:
    odd = "0:1#5\u00ff"
    transport = ScriptedTransport([answer(201, ITEM, x_ms_session_token=odd), answer(200, ITEM)])
    transport.account = account(consistency="Session")
    operations = operations_on(transport)
    await operations.create(ITEM, {})
    await operations.read("1", "p", {})
    assert transport.sent[1].headers["x-ms-session-token"] == odd.encode().decode("latin-1")


async def test_the_operation_s_time_bounds_each_attempt() -> None:
    transport = ScriptedTransport([answer(200, ITEM)])
    await operations_on(transport).read("1", "p", {"timeout": 2, "connection_timeout": 1})
    assert transport.sent[0].deadlines.connect == 1
    assert transport.sent[0].deadlines.read <= 2


async def test_an_account_whose_document_is_none_is_told() -> None:
    transport = ScriptedTransport(account={"id": "x"})
    with pytest.raises(Exception, match="no document of an account"):
        await operations_on(transport).read("1", "p", {})
