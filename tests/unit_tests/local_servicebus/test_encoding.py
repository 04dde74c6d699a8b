"""AMQP's encoding, the sections of messages, and the formats of transfers."""
# ruff: noqa: ANN401 - AMQP values are of any type

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from proton import Data

from local.servicebus.engine.model import MessageState, Snapshot
from local.servicebus.wire import codec, message
from local.servicebus.wire.codec import Described, MalformedError, Symbol
from local.servicebus.wire.formats import TransferFormats

PLACE = Snapshot(7, MessageState.ACTIVE, 1000, None, 0, None)


def proton_encoded(value: object) -> bytes:
    data = Data()
    data.put_object(value)
    return bytes(data.encode())


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False),
        st.text(),
        st.binary(max_size=300),
        st.uuids(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(VALUES)
@pytest.mark.slow
def test_what_proton_encodes_is_decoded_and_skipped_alike(value: object) -> None:
    encoded = proton_encoded(value)
    assert codec.decode(encoded) == (value, len(encoded))
    assert codec.skip(encoded, 0) == len(encoded)


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        (codec.encode_bool(value=True), True),
        (codec.encode_bool(value=False), False),
        (codec.encode_ubyte(200), 200),
        (codec.encode_uint(0), 0),
        (codec.encode_uint(255), 255),
        (codec.encode_uint(70_000), 70_000),
        (codec.encode_int(-5), -5),
        (codec.encode_long(-(2**40)), -(2**40)),
        (codec.encode_timestamp(5), 5),
        (codec.encode_uuid(uuid.UUID(int=5)), uuid.UUID(int=5)),
        (codec.encode_binary(b"x" * 300), b"x" * 300),
        (codec.encode_string("ü" * 200), "ü" * 200),
        (codec.encode_symbol("s" * 300), Symbol("s" * 300)),
        (codec.encode_list([]), []),
        (codec.encode_list([codec.encode_int(1)] * 300), [1] * 300),
        (codec.encode_map({codec.encode_string("k"): codec.NULL}), {"k": None}),
        (codec.encode_longs([1, -2]), [1, -2]),
        (codec.encode_strings(["a", ""]), ["a", ""]),
        (codec.encode_described(0x28, codec.TRUE), Described(0x28, value=True)),
        (bytes.fromhex("e0 06 02 a1 01 61 01 62".replace(" ", "")), ["a", "b"]),
        (bytes.fromhex("e0070100a3017854 07".replace(" ", "")), [Described(Symbol("x"), 7)]),
    ],
)
def test_each_encoder_says_what_it_means(encoded: bytes, value: object) -> None:
    assert codec.decode(encoded) == (value, len(encoded))


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_malformed(data: bytes) -> None:
    for read in (codec.decode, codec.raw_map):
        try:
            read(data)
        except MalformedError:
            continue
    for parse in (message.parse_incoming, message.split_batch, message.parse_request):
        try:
            parse(data)
        except MalformedError:
            continue


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xa1\x05ab",
        b"\x3f",
        b"\x00" * 5000,
        b"\xd0\x00\x00\x00\x04\xff\xff\xff\xff",
        b"\xc1\x02\x01\x40",
    ],
)
def test_cut_off_nested_and_lying_values_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        codec.decode(data)


def test_an_array_that_claims_too_much_is_malformed() -> None:
    with pytest.raises(MalformedError):
        codec.decode(b"\xf0\x00\x00\x00\x05\xff\xff\xff\xff\x40")


def sent(**parts: Any) -> bytes:
    header = parts.get("header", [])
    pieces = [codec.encode_described(0x70, codec.encode_list(header))] if "header" in parts else []
    for code, name in (
        (0x71, "delivery"),
        (0x72, "annotations"),
        (0x73, "properties"),
        (0x74, "application"),
    ):
        if name in parts:
            pieces.append(codec.encode_described(code, parts[name]))
    return b"".join(pieces) + codec.encode_described(0x75, codec.encode_binary(b"body"))


def properties(**fields: bytes) -> bytes:
    names = (
        "id",
        "user",
        "to",
        "subject",
        "reply",
        "correlation",
        "type",
        "encoding",
        "expiry",
        "creation",
        "group",
    )
    return codec.encode_list([fields.get(name, codec.NULL) for name in names])


def text_map(**values: str) -> bytes:
    return codec.encode_map({codec.encode_symbol(k): codec.encode_string(v) for k, v in values.items()})


def decoded(content: bytes) -> dict[int, Any]:
    return {code: codec.decode(content, value_at)[0] for code, _, value_at in message.sections(content)}


def test_what_a_queue_needs_is_read_and_what_only_the_broker_may_say_is_dropped() -> None:
    annotations = codec.encode_map(
        {
            codec.encode_symbol("x-opt-sequence-number"): codec.encode_long(99),
            codec.encode_symbol("x-opt-scheduled-enqueue-time"): codec.encode_timestamp(5000),
            codec.encode_symbol("own"): codec.encode_string("kept"),
        }
    )
    incoming = message.parse_incoming(
        sent(
            header=[codec.TRUE, codec.encode_ubyte(4), codec.encode_uint(60_000)],
            delivery=text_map(hop="dropped"),
            annotations=annotations,
            properties=properties(id=codec.encode_string("id"), group=codec.encode_string("session")),
        )
    )
    assert (incoming.message_id, incoming.session_id) == ("id", "session")
    assert (incoming.time_to_live, incoming.scheduled_for) == (60_000, 5000)
    got = decoded(
        message.compose(incoming.content, Snapshot(7, MessageState.ACTIVE, 1000, 60_000, 2, 9000, "q"))
    )
    assert got[0x70] == [True, 4, 60_000, None, 2]
    assert 0x71 not in got
    assert got[0x72]["own"] == "kept"
    assert got[0x72]["x-opt-sequence-number"] == 7
    assert got[0x72]["x-opt-locked-until"] == 9000
    assert got[0x72]["x-opt-deadletter-source"] == "q"
    assert got[0x75] == b"body"


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (codec.encode_uuid(uuid.UUID(int=1)), str(uuid.UUID(int=1))),
        (codec.encode_uint(5), "5"),
        (codec.encode_binary(b"\xff"), "ff"),
        (codec.NULL, "made up"),
        (codec.TRUE, "True"),
    ],
)
def test_message_ids_of_every_type_are_told_apart(encoded: bytes, expected: str) -> None:
    assert (
        message.parse_incoming(sent(properties=properties(id=encoded)), lambda: "made up").message_id
        == expected
    )


def test_a_message_without_an_id_gets_one_and_keeps_its_other_properties() -> None:
    with_others = message.parse_incoming(
        sent(properties=properties(subject=codec.encode_string("s"))), lambda: "new"
    )
    got = decoded(message.compose(with_others.content, PLACE))
    assert (got[0x73][0], got[0x73][3]) == ("new", "s")
    bare = message.parse_incoming(sent(), lambda: "new")
    assert decoded(message.compose(bare.content, PLACE))[0x73] == ["new"]
    assert len(message.random_id()) == 32


def test_a_life_beyond_49_days_is_read_from_the_properties_and_not_squeezed_into_the_header() -> None:
    long = 100 * 86_400_000
    fields = properties(expiry=codec.encode_timestamp(long + 5), creation=codec.encode_timestamp(5))
    incoming = message.parse_incoming(
        sent(header=[codec.NULL, codec.NULL, codec.encode_uint(0xFFFFFFFF)], properties=fields)
    )
    assert incoming.time_to_live == long
    composed = message.compose(incoming.content, Snapshot(1, MessageState.ACTIVE, 0, long, 0, None))
    assert decoded(composed)[0x70][2] is None


def test_a_header_of_one_field_is_enough() -> None:
    incoming = message.parse_incoming(sent(header=[codec.TRUE]))
    assert decoded(message.compose(incoming.content, PLACE))[0x70] == [True, None, None, None, 0]


def test_reasons_and_changes_join_the_application_properties() -> None:
    packed = message.merge_changes(b"", {"tried": codec.encode_int(1)})
    packed = message.merge_changes(packed, {"again": codec.encode_int(2)})
    place = Snapshot(1, MessageState.ACTIVE, 0, None, 0, None, "q", "why", "because", packed)
    for application in ({}, {"application": text_map(own="kept", tried="before")}):
        incoming = message.parse_incoming(sent(**application))
        got = decoded(message.compose(incoming.content, place))[0x74]
        assert got["DeadLetterReason"] == "why"
        assert got["DeadLetterErrorDescription"] == "because"
        assert (got["tried"], got["again"]) == (1, 2)
        assert got.get("own") == ("kept" if application else None)
    assert message.encode_changes({}) == b""


def test_sections_may_be_named_by_symbol_or_by_a_long_number() -> None:
    by_name = b"\x00" + codec.encode_symbol("amqp:data:binary") + codec.encode_binary(b"x")
    by_number = b"\x00\x80" + (0x75).to_bytes(8) + codec.encode_binary(b"y")
    assert [code for code, _, _ in message.sections(by_name + by_number)] == [0x75, 0x75]
    for unknown in (codec.encode_symbol("else"), codec.encode_string("x"), codec.encode_binary(b"x")):
        with pytest.raises(MalformedError):
            message.sections(b"\x00" + unknown + codec.NULL)


@pytest.mark.parametrize(
    "data",
    [
        codec.encode_described(0x73, codec.encode_map({})),
        codec.encode_described(0x73, properties(group=codec.encode_int(1))),
        codec.encode_described(0x74, codec.encode_map({codec.encode_int(1): codec.NULL})),
    ],
)
def test_sections_of_a_wrong_shape_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        message.parse_incoming(data)


@pytest.mark.parametrize(
    ("lives", "kept"),
    [(2**64 - 1, None), (922_337_203_685_478, None), (922_337_203_685_477, 922_337_203_685_477)],
)
def test_a_life_longer_than_can_be_counted_is_for_ever(lives: int, kept: int | None) -> None:
    header = [codec.NULL, codec.NULL, b"\x80" + lives.to_bytes(8)]
    data = codec.encode_described(0x70, codec.encode_list(header)) + codec.encode_described(
        0x75, codec.encode_binary(b"x")
    )
    assert message.parse_incoming(data).time_to_live == kept


def test_a_time_after_the_year_9999_is_malformed() -> None:
    """Stored, it would not fit the file, and end the endpoint for everybody."""
    for when, is_taken in ((253_402_300_799_999, True), (253_402_300_800_000, False), (2**64 - 1, False)):
        scheduled = {codec.encode_symbol("x-opt-scheduled-enqueue-time"): b"\x80" + when.to_bytes(8)}
        data = codec.encode_described(0x72, codec.encode_map(scheduled)) + codec.encode_described(
            0x75, codec.encode_binary(b"x")
        )
        if is_taken:
            assert message.parse_incoming(data).scheduled_for == when
        else:
            with pytest.raises(MalformedError, match="9999"):
                message.parse_incoming(data)


def test_a_batch_is_split_and_an_empty_or_wrong_one_refused() -> None:
    batch = b"".join(codec.encode_described(0x75, codec.encode_binary(one)) for one in (b"a", b"b"))
    assert message.split_batch(batch) == [b"a", b"b"]
    for wrong in (b"", codec.encode_described(0x75, codec.encode_string("x"))):
        with pytest.raises(MalformedError):
            message.split_batch(wrong)


def frame(
    performative: int, fields: list[bytes], payload: bytes = b"", channel: int = 0, *, wide: bool = False
) -> bytes:
    listed = codec.encode_list(fields)
    if wide:
        listed = b"\xd0" + (len(listed[3:]) + 4).to_bytes(4) + len(fields).to_bytes(4) + listed[3:]
    body = codec.encode_described(performative, listed) + payload
    return (8 + len(body)).to_bytes(4) + b"\x02\x00" + channel.to_bytes(2) + body


def attach(name: str, handle: int, channel: int = 0, *, sender: bool = True) -> bytes:
    role = codec.encode_bool(not sender)
    return frame(0x12, [codec.encode_string(name), codec.encode_uint(handle), role], channel=channel)


def transfer(
    handle: int, number: int, message_format: int | None, *, more: bool = False, **options: Any
) -> bytes:
    stated = codec.NULL if message_format is None else codec.encode_uint(message_format)
    fields = [
        codec.encode_uint(handle),
        codec.encode_uint(number),
        codec.encode_binary(b"tag"),
        stated,
        codec.FALSE,
        codec.encode_bool(more),
    ]
    return frame(0x14, fields, b"payload" * 40, **options)


AMQP = b"AMQP\x00\x01\x00\x00"


def test_formats_are_told_per_link_in_their_order_however_the_bytes_are_cut() -> None:
    stream = (
        AMQP
        + attach("a", 0)
        + attach("b", 1)
        + attach("a receiver", 2, sender=False)
        + attach("other channel", 0, channel=3)
        + b"\x00\x00\x00\x08\x02\x00\x00\x00"  # an empty frame: a heartbeat
        + transfer(0, 0, message.BATCH_FORMAT, more=True)
        + transfer(1, 1, 0)
        + transfer(0, 0, None)
        + transfer(0, 2, 0, wide=True)
        + transfer(0, 3, 5, channel=3)
        + transfer(9, 4, 7)
    )
    for size in (1, 7, len(stream)):
        formats = TransferFormats()
        for at in range(0, len(stream), size):
            formats.feed(stream[at : at + size])
        assert [formats.take("a"), formats.take("a"), formats.take("a")] == [message.BATCH_FORMAT, 0, 0]
        assert formats.take("b") == 0
        assert formats.take("other channel") == 5
        assert formats.take("never attached") == 0


@pytest.mark.parametrize(
    "broken",
    [
        b"\x00\x00\x00\x01\x02\x00\x00\x00",
        frame(0x14, [codec.encode_string("no handle")]),
        frame(0x12, [codec.encode_string("too short")]),
        (8 + 4).to_bytes(4) + b"\x02\x00\x00\x00\x00\x53\x14\x45",
    ],
)
def test_frames_that_make_no_sense_end_the_watching_and_nothing_else(broken: bytes) -> None:
    formats = TransferFormats()
    formats.feed(AMQP + attach("a", 0) + broken)
    formats.feed(transfer(0, 0, message.BATCH_FORMAT))
    assert formats.take("a") == 0
