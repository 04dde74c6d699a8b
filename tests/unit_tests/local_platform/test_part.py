"""Claims about the mechanics that every part of the local platform shares."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from local.part import PortTakenError, announce, bind, parent_gone, until_stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for end in (reader, writer):
        try:
            os.close(end)
        except OSError:
            assert end == writer, "only the test closes an end, and only the writer's"


def test_announce_prints_the_one_line_that_a_supervisor_waits_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    announce(12345)
    word, _, payload = capsys.readouterr().out.rstrip("\n").partition(" ")
    assert word == "listening"
    assert json.loads(payload) == {"port": 12345}


def test_port_zero_binds_a_free_loopback_port() -> None:
    with bind(0) as bound:
        host, port = bound.getsockname()
        assert host == "127.0.0.1"
        with socket.create_connection((host, port), 5):
            pass


def test_a_port_that_somebody_listens_on_is_refused_by_number() -> None:
    with bind(0) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"port {port} is already in use"):
            bind(port)


def test_a_port_that_may_not_be_taken_at_all_is_not_called_taken() -> None:
    with pytest.raises(OverflowError):
        bind(70000)


async def test_the_parent_is_gone_when_the_pipes_other_end_closes(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    waiting = asyncio.ensure_future(parent_gone(reader))
    os.write(writer, b"not the end yet")
    await _until(lambda: not select.select([reader], [], [], 0)[0])
    assert not waiting.done()
    os.close(writer)
    await asyncio.wait_for(waiting, 5)


async def test_the_parent_is_gone_when_a_sockets_other_end_closes() -> None:
    ours, theirs = socket.socketpair()
    waiting = asyncio.ensure_future(parent_gone(ours.fileno()))
    theirs.close()
    await asyncio.wait_for(waiting, 5)
    ours.close()


async def test_a_file_as_stdin_never_means_that_the_parent_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    with path.open() as empty, pytest.raises(TimeoutError):
        await asyncio.wait_for(parent_gone(empty.fileno()), 0.05)


async def test_a_closed_stdin_never_means_that_the_parent_is_gone(pipe: tuple[int, int]) -> None:
    _, writer = pipe
    closed = os.dup(writer)
    os.close(closed)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(parent_gone(closed), 0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_part_stops_on_the_signal(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # a run in a shell's background ignores SIGINT
    waiting = asyncio.ensure_future(until_stopped())
    await _until(lambda: signal.getsignal(number) is not signal.SIG_DFL)
    signal.raise_signal(number)
    try:
        await asyncio.wait_for(waiting, 5)
    finally:
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, before)


async def test_an_interrupt_that_the_supervisor_made_its_children_ignore_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        waiting = asyncio.ensure_future(until_stopped())
        await _until(lambda: signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(waiting, 5)
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGINT, before)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the kernel's state, which no event reports
            await asyncio.sleep(0)
