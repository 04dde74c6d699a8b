"""Deliveries that a client numbers in its own way, as azure-servicebus does with several of them at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.servicebus.wire import codec, frames
from local.servicebus.wire.connection import Connection
from local.servicebus.wire.delivery_ids import DeliveryIds
from local.servicebus.wire.formats import TransferFormats
from local.servicebus.wire.outgoing import OutgoingFrames, write_close
from tests.unit_tests.local_servicebus.amqp_client import SASL, World, sasl_init

AMQP = b"AMQP\x00\x01\x00\x00"
_CHANNEL = 3
_HANDLE = codec.encode_uint(0)


def transfer(number: int | None, content: bytes, *, more: bool = False) -> bytes:
    stated = codec.NULL if number is None else codec.encode_uint(number)
    fields = [_HANDLE, stated, codec.encode_binary(b"tag"), codec.encode_uint(0), codec.FALSE]
    return frames.write_performative(_CHANNEL, frames.TRANSFER, [*fields, codec.encode_bool(more)], content)


def begun() -> bytes:
    """Open a connection, a session and a link to `$cbs`, where no proof is asked for."""
    target = codec.encode_described(0x29, codec.encode_list([codec.encode_string("$cbs")]))
    source = codec.encode_described(0x28, codec.encode_list([codec.encode_string("client")]))
    window = codec.encode_uint(5000)
    attach = [codec.encode_string("requests"), _HANDLE, codec.FALSE, codec.NULL, codec.NULL, source, target]
    attach += [codec.NULL, codec.NULL, _HANDLE]
    return b"".join(
        (
            AMQP,
            frames.write_performative(0, 0x10, [codec.encode_string("client")]),
            frames.write_performative(_CHANNEL, frames.BEGIN, [codec.NULL, _HANDLE, window, window]),
            frames.write_performative(_CHANNEL, frames.ATTACH, attach),
        )
    )


def connect() -> Connection:
    connection = Connection(World([]).node, lambda _: None)
    connection.feed(SASL)
    connection.feed(sasl_init("ANONYMOUS"))
    connection.output()
    connection.feed(begun())
    connection.output()
    return connection


def dispositions(data: bytes) -> list[tuple[int, int]]:
    """Give the ranges of deliveries that were settled."""
    found = []
    for frame in frames.cut_frames(data):
        if frame.performative == frames.DISPOSITION:
            is_receivers, first, last, is_settled = frames.read_values(frame.body, 4)
            assert (is_receivers, is_settled) == (True, True)
            found.append((first, first if last is None else last))
    return found


@given(st.lists(st.one_of(st.integers(0, 6), st.integers(0, 2**32 - 1)), min_size=1, max_size=30))
@pytest.mark.slow
def test_each_delivery_is_settled_under_the_number_that_its_sender_gave_it(numbers: list[int]) -> None:
    """What Azure does: `OnReceiveDelivery` in azure-amqp's AmqpSession.cs takes whatever number is stated."""
    connection = connect()
    for number in numbers:
        connection.feed(transfer(number, b"nonsense"))
    settled = dispositions(connection.output())
    assert not connection.finished
    assert {number for low, high in settled for number in range(low, high + 1)} == set(numbers)


@given(st.lists(st.integers(0, 5), min_size=2, max_size=8))
@pytest.mark.slow
def test_a_delivery_in_parts_is_whole_whatever_number_each_part_states(numbers: list[int]) -> None:
    connection = connect()
    connection.feed(transfer(4, b"nonsense"))
    for number in numbers[:-1]:
        connection.feed(transfer(number, b"part", more=True))
    connection.feed(transfer(numbers[-1], b"the last"))
    settled = dispositions(connection.output())
    assert not connection.finished
    assert {number for low, high in settled for number in range(low, high + 1)} == {4, numbers[0]}


def test_numbers_in_order_are_left_as_they_are() -> None:
    formats = TransferFormats()
    stream = (
        begun() + transfer(7, b"x") + transfer(8, b"y", more=True) + transfer(8, b"z") + transfer(None, b"")
    )
    assert formats.feed(stream) == stream
    assert not formats.ids[_CHANNEL].differ


def test_a_frame_is_passed_on_once_it_is_whole_and_with_the_number_that_follows() -> None:
    formats = TransferFormats()
    stream = begun() + transfer(7, b"x") + transfer(7, b"y" * 300)
    shown = b"".join(formats.feed(stream[at : at + 5]) for at in range(0, len(stream), 5))
    assert shown == begun() + transfer(7, b"x") + transfer(8, b"y" * 300)


def test_a_delivery_that_its_session_left_in_parts_is_not_gone_on_with_in_the_next() -> None:
    formats = TransferFormats()
    formats.feed(begun() + transfer(7, b"x") + transfer(7, b"part", more=True))
    stream = begun()[len(AMQP) :] + transfer(3, b"x") + transfer(4, b"y")
    assert formats.feed(stream) == stream


def test_a_session_that_begins_anew_counts_anew() -> None:
    formats = TransferFormats()
    formats.feed(begun() + transfer(7, b"x") + transfer(7, b"x"))
    assert formats.ids[_CHANNEL].differ
    stream = begun()[len(AMQP) :] + transfer(0, b"x")
    assert formats.feed(stream) == stream
    assert not formats.ids[_CHANNEL].differ


def test_what_a_sender_says_of_numbers_that_mean_something_else_here_is_not_passed_on() -> None:
    formats = TransferFormats()
    said = frames.write_performative(
        _CHANNEL, frames.DISPOSITION, [codec.FALSE, _HANDLE, _HANDLE, codec.TRUE]
    )
    assert formats.feed(begun() + said) == begun() + said
    formats.feed(transfer(7, b"x") + transfer(7, b"x"))
    assert formats.feed(said) == b""


def test_numbers_are_told_in_ranges_and_forgotten_when_settled() -> None:
    ids = DeliveryIds()
    for number in (5, 5, 6, 9):
        ids.begin(0, number)
    assert ids.stated(5, 8, settled=False) == [(5, 6), (9, 9)]
    assert ids.differ
    assert ids.stated(5, 8, settled=True) == [(5, 6), (9, 9)]
    assert not ids.differ


@pytest.mark.parametrize(
    ("performative", "before"),
    [(frames.CLOSE, []), (frames.END, []), (frames.DETACH, [_HANDLE, codec.TRUE])],
)
def test_each_error_has_its_three_fields(performative: int, before: list[bytes]) -> None:
    """As `DescribedList.EncodeValue` in azure-amqp writes them; the SDK counts on it in a close."""
    given_error = [codec.encode_symbol("amqp:some-error"), codec.encode_string("why" * 81)]

    def ended(error: list[bytes]) -> bytes:
        described = codec.encode_described(0x1D, codec.encode_list(error))
        return AMQP + frames.write_performative(1, performative, [*before, described])

    assert OutgoingFrames({}).translate(ended(given_error)) == ended([*given_error, codec.NULL])
    whole = ended([*given_error, codec.encode_map({})])
    assert OutgoingFrames({}).translate(whole) == whole


def test_an_end_without_an_error_is_left_as_it_is() -> None:
    for fields in ([], [codec.NULL]):
        plain = AMQP + frames.write_performative(0, frames.CLOSE, fields)
        assert OutgoingFrames({}).translate(plain) == plain


def test_a_broken_frame_closes_the_connection_with_a_reason_in_three_fields() -> None:
    connection = connect()
    connection.feed(frames.PREFIX.pack(frames.MAX_FRAME + 1, 2, 0, 0))
    *_, last = frames.cut_frames(connection.output())
    assert last.performative == frames.CLOSE
    [error] = frames.read_values(last.body, 1)
    assert len(error.value) == 3


def test_a_connection_that_fails_says_why_and_nothing_of_what_it_had_still_to_say() -> None:
    connection = connect()
    connection.feed(transfer(0, b"nonsense"))
    assert connection.fail("the disk is full") == write_close("amqp:internal-error", "the disk is full")
    assert connection.output() == b""
    assert connection.finished


def test_a_connection_that_fails_before_it_began_says_nothing() -> None:
    assert Connection(World([]).node, lambda _: None).fail("the disk is full") == b""
