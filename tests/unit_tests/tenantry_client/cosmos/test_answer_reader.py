"""No wrong answer is taken for a right one: everything that is not one whole answer is refused."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry_client.cosmos.answer_reader import (
    MAX_HEAD_BYTES,
    AnswerReader,
    MalformedAnswerError,
)

if TYPE_CHECKING:
    from tenantry_client.cosmos.answers import Answer

WHOLE = b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\nX-Ms-Item: 1\r\n\r\n{"id":1}'
CHUNKED = b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{"i\r\n5\r\nd":1}\r\n0\r\n\r\n'


def read(*pieces: bytes) -> Answer | None:
    reader, found = AnswerReader(), None
    for piece in pieces:
        assert found is None, "nothing follows an answer"
        found = reader.feed(piece)
    return found


@given(st.sampled_from([WHOLE, CHUNKED]), st.lists(st.integers(1, 120), max_size=6))
def test_an_answer_is_the_same_however_its_bytes_arrive(raw: bytes, cuts: list[int]) -> None:
    places = [0, *sorted({cut for cut in cuts if cut < len(raw)}), len(raw)]
    found = read(*(raw[low:high] for low, high in itertools.pairwise(places)))
    assert found is not None
    assert (found.status, found.body, found.keeps_alive) == (200, b'{"id":1}', True)


@given(st.integers(0, len(WHOLE) - 1))
def test_a_truncated_answer_is_none(end: int) -> None:
    assert read(WHOLE[:end]) is None


def test_one_reader_reads_one_answer_after_another() -> None:
    reader = AnswerReader()
    first, second = reader.feed(WHOLE), reader.feed(CHUNKED)
    assert first is not None
    assert second is not None
    assert first.headers["x-ms-item"] == "1"
    assert "x-ms-item" not in second.headers


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (WHOLE + WHOLE, "more than one answer"),
        (WHOLE + b"garbage", "no HTTP answer"),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", "length is not told"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "interim"),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n", "interim"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "no HTTP answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc", "no HTTP answer"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "no HTTP answer"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"a" * MAX_HEAD_BYTES, "headers of more than"),
    ],
)
def test_what_breaks_the_protocol_is_refused(raw: bytes, why: str) -> None:
    with pytest.raises(MalformedAnswerError, match=why):
        read(raw)


def test_an_oversized_answer_is_refused_before_it_is_whole() -> None:
    reader = AnswerReader(max_bytes=1000)
    assert reader.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n") is None
    with pytest.raises(MalformedAnswerError, match="an answer of more than 1000 bytes"):
        reader.feed(b"x" * 1000)


def test_an_answer_that_ends_its_connection_says_so() -> None:
    found = read(b"HTTP/1.1 204 No Content\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
    assert found is not None
    assert not found.keeps_alive
