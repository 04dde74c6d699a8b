"""Receivers get one request, at an address that was checked; nothing of theirs is followed or read."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NoReturn

import pytest

from functions.webhooks.receivers import open_receivers
from shared.webhooks.deliveries import AttemptOutcome
from tests.support.receiver import answer, receiving

if TYPE_CHECKING:
    from tests.support.receiver import Receiver


async def post(receiver: Receiver, path: str = "/hook", *, allow_loopback: bool = True) -> AttemptOutcome:
    async with open_receivers(allow_loopback=allow_loopback) as receivers:
        return await receivers.post(receiver.url(path), b"{}", {"x-tenantry-event": "job.succeeded"})


async def test_a_receiver_that_answers_2xx_has_taken_the_notice() -> None:
    async with receiving(answer(202)) as receiver:
        outcome = await post(receiver, "/hook%2Fone?a=b&c=%26")

    assert outcome == AttemptOutcome(202)
    (request,) = receiver.received
    assert (request.target, request.body) == ("/hook%2Fone?a=b&c=%26", b"{}")
    assert request.headers["x-tenantry-event"] == "job.succeeded"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_a_failure_and_leads_nowhere(status: int) -> None:
    async with receiving() as other, receiving(answer(status, f"location: {other.url()}")) as receiver:
        outcome = await post(receiver)

    assert outcome == AttemptOutcome(status, "a redirect is not followed")
    assert other.received == []


async def test_a_refusal_is_told_with_the_time_that_the_receiver_asks_for() -> None:
    async with receiving(answer(503, "retry-after: 90"), answer(500, "retry-after: soon")) as receiver:
        outcomes = [await post(receiver), await post(receiver)]

    assert outcomes == [
        AttemptOutcome(503, "answered 503", retry_after=90.0),
        AttemptOutcome(500, "answered 500"),
    ]


async def test_a_receiver_that_is_gone_is_not_tried_again() -> None:
    async with receiving(answer(410)) as receiver:
        assert (await post(receiver)).is_final


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f000001", "[::1]"])
async def test_without_the_switch_this_machine_gets_nothing_however_it_is_named(host: str) -> None:
    async with receiving() as receiver, open_receivers() as receivers:
        url = f"http://{host}:{receiver.port}/hook"
        outcome = await receivers.post(url, b"{}", {})

    assert outcome == AttemptOutcome(problem="the address is not public", is_final=True)
    assert receiver.received == []


@pytest.mark.parametrize("host", ["127.1", "2130706433", "127.0.0.1."])
async def test_other_spellings_of_an_address_are_no_hosts(host: str) -> None:
    async with receiving() as receiver, open_receivers(allow_loopback=True) as receivers:
        outcome = await receivers.post(f"http://{host}:{receiver.port}/hook", b"{}", {})

    assert outcome == AttemptOutcome(problem="the URL is not valid", is_final=True)
    assert receiver.received == []


@pytest.mark.parametrize(
    "host",
    ["10.0.0.1", "169.254.169.254", "168.63.129.16", "0.0.0.0", "[::ffff:10.0.0.1]"],  # noqa: S104  # asked for
)
async def test_the_switch_opens_no_other_network(host: str) -> None:
    async with open_receivers(allow_loopback=True) as receivers:
        outcome = await receivers.post(f"http://{host}:9/", b"{}", {})

    assert outcome == AttemptOutcome(problem="the address is not public", is_final=True)


async def test_a_receiver_that_hangs_up_or_is_not_there_is_a_failure_with_its_reason() -> None:
    async with receiving(b"") as receiver:
        silent = await post(receiver)
    absent = await post(receiver)

    assert silent.problem == "the connection ended without an answer"
    assert absent.problem == "the connection was refused"
    assert not silent.is_final
    assert not absent.is_final


async def test_an_answer_without_an_end_is_not_read() -> None:
    """Its status is enough: the connection is closed, whatever would still come."""
    async with receiving(b"HTTP/1.1 200 OK\r\ncontent-length: 9000000000\r\n\r\n") as receiver:
        async with asyncio.timeout(5):
            assert await post(receiver) == AttemptOutcome(200)


async def test_headers_without_an_end_are_not_kept() -> None:
    flood = b"HTTP/1.1 200 OK\r\nx-a: " + b"a" * 100_000 + b"\r\n\r\n"
    async with receiving(flood) as receiver:
        assert (await post(receiver)).problem == "the connection ended without an answer"


class Names:
    """Look-ups of a name under somebody else's control: each has the next answer, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, _: str, port: int) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        self.asked += 1
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (one, port)) for one in addresses
        ]


async def test_a_name_that_leads_elsewhere_at_its_second_look_up_gains_nothing() -> None:
    """There is one look-up for each connection, and what it found is what the socket is checked for."""
    names = Names(["10.0.0.1"], ["127.0.0.1"])
    async with receiving() as receiver, open_receivers(look_up=names) as receivers:
        url = f"http://rebound.example.com:{receiver.port}/"
        outcomes = [await receivers.post(url, b"{}", {}) for _ in range(2)]

    assert {outcome.problem for outcome in outcomes} == {"the address is not public"}
    assert names.asked == 2
    assert receiver.received == []


async def test_of_several_addresses_none_that_is_refused_is_connected_to() -> None:
    names = Names(["10.0.0.1", "169.254.169.254", "127.0.0.1"])
    async with receiving() as receiver:
        url = f"http://several.example.com:{receiver.port}/"
        async with open_receivers(look_up=names) as receivers:
            refused = await receivers.post(url, b"{}", {})
        async with open_receivers(look_up=names, allow_loopback=True) as receivers:
            taken = await receivers.post(url, b"{}", {})

    assert (refused.problem, taken.status_code) == ("the address is not public", 204)
    assert len(receiver.received) == 1


async def test_names_that_hang_take_none_of_the_apps_threads() -> None:
    go_on = threading.Event()

    def hang(host: str, port: int) -> NoReturn:
        go_on.wait(20)
        raise OSError("no such name")

    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    async with open_receivers(look_up=hang) as receivers, asyncio.TaskGroup() as tasks:
        for number in range(4):
            tasks.create_task(receivers.post(f"http://slow{number}.example.com/", b"{}", {}))
        await asyncio.sleep(0)
        assert await asyncio.to_thread(lambda: "served") == "served"
        go_on.set()
