"""Templates are filled in, and nothing in them or in a value is ever run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ValidationError
from shared.prompts.rendering import MAX_RENDERED_CHARACTERS, render, variables_of

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)


@pytest.mark.parametrize(
    ("template", "variables", "text"),
    [
        ("Hello {name}", {"name": "Ada"}, "Hello Ada"),
        ("{a}{b}{a}", {"a": "1", "b": "2"}, "121"),
        ("no variables", {}, "no variables"),
        ('{{"json": "{value}"}}', {"value": "x"}, '{"json": "x"}'),
        ("{{name}}", {}, "{name}"),
        ("{{{name}}}", {"name": "x"}, "{x}"),
        ("{a}", {"a": "{b} {{ }} \\1 \\g<0>"}, "{b} {{ }} \\1 \\g<0>"),
        ("{a}", {"a": ""}, ""),
    ],
)
def test_a_variable_is_replaced_by_its_value_and_a_doubled_brace_by_one(
    template: str, variables: dict[str, str], text: str
) -> None:
    assert render(template, variables) == text


@pytest.mark.parametrize(
    "template",
    ["{name.__class__}", "{name[0]}", "{name!r}", "{name:>10}", "{0}", "{}", "{ name }", "{", "}", "{a}}"],
)
def test_what_is_neither_a_variable_nor_a_doubled_brace_is_refused(template: str) -> None:
    with pytest.raises(ValidationError, match="single"):
        variables_of(template)
    with pytest.raises(ValidationError, match="single"):
        render(template, {"name": "x", "a": "x"})


def test_missing_and_unknown_variables_are_both_named() -> None:
    with pytest.raises(ValidationError, match="missing: b, a; unknown: x, y") as refused:
        render("{b}{a}{c}", {"c": "", "y": "", "x": ""})

    assert refused.value.detail == {"missing": ["b", "a"], "unknown": ["x", "y"]}


def test_variables_are_listed_once_in_the_order_of_the_template() -> None:
    assert variables_of("{b} {a} {{c}} {b}") == ["b", "a"]


def test_a_small_request_cannot_make_a_huge_text() -> None:
    fits = "x" * (MAX_RENDERED_CHARACTERS // 100)

    assert len(render("{x}" * 100, {"x": fits})) == MAX_RENDERED_CHARACTERS
    with pytest.raises(ValidationError, match="longer than"):
        render("{x}" * 100, {"x": fits + "y"})


@given(st.lists(st.tuples(st.sampled_from(["text", "variable"]), st.text(), NAMES)), st.text())
def test_any_text_survives_escaping_and_any_value_stands_as_it_is(
    parts: list[tuple[str, str, str]], value: str
) -> None:
    template = "".join(f"{{{name}}}" if kind == "variable" else _escaped(text) for kind, text, name in parts)
    expected = "".join(value if kind == "variable" else text for kind, text, _ in parts)

    assert render(template, dict.fromkeys(variables_of(template), value)) == expected


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
