"""What a line says."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.logging.context import SpanIds, logging_as, name_spans_by
from shared.logging.formatter import ColourFormatter, JsonFormatter


def record(message: str = "Hello", error: BaseException | None = None, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("component.x", logging.INFO, __file__, 1, message, (), None)
    made.created = 1_769_855_400.5
    if error is not None:
        made.exc_info = (type(error), error, error.__traceback__)
    vars(made).update(extra)
    return made


def written(of: logging.LogRecord) -> dict[str, Any]:
    line = JsonFormatter("tenantry").format(of)
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line)
    return found


def raised(text: str) -> ValueError:
    with pytest.raises(ValueError, match="literal") as caught:
        int(text)
    return caught.value


def test_a_line_has_every_field_even_without_a_context() -> None:
    assert written(record()) == {
        "timestamp": "2026-01-31T10:30:00.500000+00:00",
        "level": "INFO",
        "logger": "component.x",
        "message": "Hello",
        "app": "tenantry",
        "request_id": None,
        "tenant_id": None,
    }


def test_a_second_handler_writes_the_same_line_and_another_apps_its_own() -> None:
    once = record(spent=12)
    lines = [JsonFormatter(app).format(once) for app in ("tenantry", "tenantry", "other")]

    assert lines[0] is lines[1]
    assert (json.loads(lines[0])["app"], json.loads(lines[2])["app"]) == ("tenantry", "other")
    assert json.loads(lines[2])["extra"] == {"spent": 12}


def test_numbers_and_times_are_written_as_they_are_and_what_may_be_a_card_is_not() -> None:
    at = datetime(2026, 1, 31, 10, 30, tzinfo=UTC)
    extra = written(record(small=-999_999, parts=0.1234567890123456, at=at, card=4111111111111111))["extra"]

    assert extra == {
        "small": -999_999,
        "parts": 0.1234567890123456,
        "at": "2026-01-31T10:30:00+00:00",
        "card": "[card]",
    }


def test_a_line_carries_the_context() -> None:
    with logging_as(request_id="r-1", tenant_id="acme"):
        line = written(record())

    assert (line["request_id"], line["tenant_id"]) == ("r-1", "acme")


def test_a_caller_cannot_bring_a_key_in_as_the_request_id() -> None:
    with logging_as(request_id="tk.acme.abc"):
        assert written(record())["request_id"] == "[key]"


def test_an_extra_field_cannot_pose_as_the_tenant() -> None:
    with logging_as(tenant_id="acme"):
        line = written(record(tenant_id="victim"))

    assert (line["tenant_id"], line["extra"]) == ("acme", {"tenant_id": "victim"})


def test_a_message_cannot_forge_a_second_line() -> None:
    assert written(record('x\n{"tenant_id": "victim"}'))["tenant_id"] is None


def test_extra_fields_are_redacted_at_every_depth() -> None:
    extra = {
        "mail": "ann@mail.example",
        "password": "x",
        "card": 4111111111111111,
        "deep": {"ann@mail.example": [("Bearer abc",), {"token": "t"}], "n": 3, "share": float("nan")},
        "object": ValueError("tk.acme.abc"),
        "flag": True,
        "nothing": None,
    }
    made = record()
    vars(made).update(extra)
    line = written(made)

    assert line["extra"] == {
        "mail": "[email]",
        "password": "[secret]",
        "card": "[card]",
        "deep": {"[email]": [["Bearer [token]"], {"token": "[secret]"}], "n": 3, "share": "nan"},
        "object": "[key]",
        "flag": True,
        "nothing": None,
    }


def test_nesting_without_end_is_cut() -> None:
    endless: list[object] = []
    endless.append(endless)

    assert "[[" in JsonFormatter("a").format(record(endless=endless))


def test_an_exception_is_named_with_its_stack_and_redacted() -> None:
    line = written(record(error=raised("AccountKey=abc for ann@mail.example")))

    assert line["exception"]["type"] == "ValueError"
    assert "AccountKey=[secret] for [email]" in line["exception"]["message"]
    assert "in raised" in line["exception"]["stack"]
    assert "ann@" not in json.dumps(line)


def test_logging_an_exception_where_there_is_none_is_no_exception() -> None:
    made = record()
    made.exc_info = (None, None, None)

    assert "exception" not in written(made)


def test_a_long_text_is_redacted_before_it_is_cut() -> None:
    line = written(record("x " * 8_190 + "ann@mail.example " + "y" * 9_000))

    assert "ann@" not in line["message"]
    assert len(line["message"]) < 16_500


def test_a_lone_surrogate_can_be_written() -> None:
    assert "\\ud800" in JsonFormatter("a").format(record("\ud800")).encode().decode()


def test_a_terminal_sees_the_facts_and_the_stack_and_obeys_no_control_characters() -> None:
    made = record("evil \x1b[2J text", error=raised("broken"), job="j-1")
    made.stack_info = "Stack (most recent call last):"
    with logging_as(request_id="r-1", tenant_id="acme"):
        shown = ColourFormatter("a").format(made)

    assert "\x1b[2J" not in shown
    assert "tenant_id=acme request_id=r-1 job=j-1" in shown
    assert "ValueError: invalid literal" in shown
    assert "Stack (most" in shown


@pytest.mark.parametrize("level", ["DEBUG", "NOTICE"])
def test_every_level_has_a_look(level: str) -> None:
    made = record()
    made.levelname = level

    assert level in ColourFormatter("a").format(made)
    assert sys.exc_info() == (None, None, None)


def test_a_line_names_its_span_where_one_is_traced() -> None:
    name_spans_by(lambda: SpanIds("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"))
    try:
        told = written(record())
    finally:
        name_spans_by(None)

    assert (told["trace_id"], told["span_id"]) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert "trace_id" not in written(record())
