"""Values between the host and the worker protocol."""

from __future__ import annotations

import pytest

from local.host.invocation import HttpInput, HttpOutput, Json
from local.host.runtime import protos
from local.host.runtime.values import from_typed_data, to_typed_data


def test_a_typed_data_has_the_one_field_that_is_set() -> None:
    data = protos.TypedData(string="x")
    assert data.WhichOneof("data") == "string"
    assert data.string == "x"
    with pytest.raises(AttributeError):
        _ = data.json
    assert protos.TypedData().WhichOneof("data") is None
    with pytest.raises(ValueError, match="one value"):
        protos.TypedData(string="x", json="y")


def test_values_are_encoded_by_their_kind() -> None:
    assert to_typed_data(None).WhichOneof("data") is None
    assert to_typed_data("x").string == "x"
    assert to_typed_data(b"x").bytes == b"x"
    assert to_typed_data(Json("[]")).json == "[]"
    assert to_typed_data(7).json == "7"
    assert to_typed_data(["a", ""]).collection_string.string == ["a", ""]
    assert to_typed_data([b"a"]).collection_bytes.bytes == [b"a"]
    with pytest.raises(TypeError):
        to_typed_data(HttpOutput(200, (), b""))


def test_a_request_is_encoded_and_an_empty_body_is_not_there() -> None:
    http = to_typed_data(HttpInput("GET", "http://x", {"a": "1"}, {"q": "2"}, {"p": "3"})).http
    assert (http.method, http.url, http.headers, http.query, http.params) == (
        "GET",
        "http://x",
        {"a": "1"},
        {"q": "2"},
        {"p": "3"},
    )
    assert http.body.WhichOneof("data") is None
    assert to_typed_data(HttpInput("POST", "x", body=b"b")).http.body.bytes == b"b"


def test_what_the_worker_sends_is_decoded() -> None:
    assert from_typed_data(None) is None
    assert from_typed_data(protos.TypedData()) is None
    assert from_typed_data(protos.TypedData(json="{}")) == Json("{}")
    assert from_typed_data(protos.TypedData(int=1)) == 1
    with pytest.raises(TypeError, match="kind stream"):
        from_typed_data(protos.TypedData(stream=b""))


def test_a_response_and_its_cookies_are_decoded() -> None:
    full = protos.RpcHttpCookie(
        "a",
        "1",
        domain=protos.NullableString("d"),
        path=protos.NullableString("/p"),
        expires=protos.NullableTimestamp(protos.Timestamp(0)),
        secure=protos.NullableBool(value=True),
        http_only=protos.NullableBool(value=True),
        same_site=protos.RpcHttpCookie.SameSite.Strict,
        max_age=protos.NullableDouble(60.0),
    )
    plain = protos.RpcHttpCookie("b", "2", secure=protos.NullableBool(value=False))
    response = protos.RpcHttp(
        status_code="201", headers={"x": "y"}, body=protos.TypedData(string="ä"), cookies=[full, plain]
    )
    assert from_typed_data(protos.TypedData(http=response)) == HttpOutput(
        201,
        [
            ("x", "y"),
            (
                "set-cookie",
                (
                    "a=1; expires=Thu, 01 Jan 1970 00:00:00 GMT; max-age=60; domain=d; path=/p; "
                    "secure; samesite=strict; httponly"
                ),
            ),
            ("set-cookie", "b=2; path=/"),
        ],
        "ä".encode(),
    )
    empty = from_typed_data(protos.TypedData(http=protos.RpcHttp(status_code="200")))
    assert empty == HttpOutput(200, [], b"")
