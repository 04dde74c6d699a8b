"""Templates are filled in, and nothing in them or in a value is ever run."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts import ChatMessage
from shared.errors import ValidationError
from shared.prompts.rendering import MAX_RENDERED_CHARACTERS, render_prompt
from shared.prompts.stored_models import PromptContent
from shared.prompts.templates import places_to_fill, variables_of
from tests.support.soak import SOAK

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)


def render(template: str, variables: dict[str, str]) -> str:
    return render_prompt(PromptContent(template=template), variables).text


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


@settings(max_examples=1000 if SOAK else 40)
@given(st.lists(st.tuples(st.sampled_from(["text", "variable"]), st.text(), NAMES)), st.text())
@pytest.mark.slow
def test_any_text_survives_escaping_and_any_value_stands_as_it_is(
    parts: list[tuple[str, str, str]], value: str
) -> None:
    template = "".join(f"{{{name}}}" if kind == "variable" else _escaped(text) for kind, text, name in parts)
    expected = "".join(value if kind == "variable" else text for kind, text, _ in parts)

    assert render(template, dict.fromkeys(variables_of(template), value)) == expected


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def chat(*parts: dict[str, str], **more: object) -> PromptContent:
    return PromptContent.model_validate({"template": parts, **more}, strict=False)


def test_a_chat_prompt_is_filled_in_message_by_message() -> None:
    content = chat(
        {"role": "system", "content": "Be {tone}."},
        {"placeholder": "history"},
        {"role": "user", "content": "{question}"},
    )
    history = [ChatMessage(role="user", content="{tone}"), ChatMessage(role="assistant", content="so")]

    rendered = render_prompt(content, {"tone": "kind", "question": "Why?"}, {"history": history})

    assert rendered.messages is not None
    assert [(m.role, m.content) for m in rendered.messages] == [
        ("system", "Be kind."),
        ("user", "{tone}"),
        ("assistant", "so"),
        ("user", "Why?"),
    ]
    assert rendered.text == "Be kind.\n\n{tone}\n\nso\n\nWhy?"


def test_variables_and_placeholders_that_are_missing_or_unknown_are_named_together() -> None:
    content = chat({"role": "user", "content": "{a}{b}"}, {"placeholder": "history"})

    with pytest.raises(ValidationError, match="missing: b, history; unknown: x, y"):
        render_prompt(content, {"a": "", "x": ""}, {"y": []})


def test_a_message_that_would_be_empty_is_refused() -> None:
    with pytest.raises(ValidationError, match="Message 0 is empty"):
        render_prompt(chat({"role": "user", "content": "{a}"}), {"a": ""})


def test_an_empty_list_of_messages_is_none_at_all() -> None:
    content = chat({"placeholder": "history"}, {"role": "user", "content": "x"})

    assert render_prompt(content, {}, {"history": []}).text == "x"


def test_examples_go_where_a_chat_prompt_has_their_place() -> None:
    content = chat(
        {"role": "system", "content": "Translate."},
        {"placeholder": "examples"},
        {"role": "user", "content": "{word}"},
        examples=[{"input": "{cat}", "output": "Katze"}],
    )

    rendered = render_prompt(content, {"word": "dog"})

    assert rendered.messages is not None
    assert [(m.role, m.content) for m in rendered.messages] == [
        ("system", "Translate."),
        ("user", "{cat}"),
        ("assistant", "Katze"),
        ("user", "dog"),
    ]
    with pytest.raises(ValidationError, match="unknown: examples"):
        render_prompt(content, {"word": "dog"}, {"examples": []})


def test_examples_go_where_a_text_has_their_place() -> None:
    content = PromptContent.model_validate(
        {
            "template": "Translate.\n{examples}\nInput: {word}",
            "examples": [{"input": "cat", "output": "{Katze}"}, {"input": "a", "output": "b"}],
        }
    )

    rendered = render_prompt(content, {"word": "dog"})

    assert rendered.text == ("Translate.\nInput: cat\nOutput: {Katze}\n\nInput: a\nOutput: b\nInput: dog")
    assert places_to_fill(content).variables == ("word",)
    with pytest.raises(ValidationError, match="unknown: examples"):
        render_prompt(content, {"word": "dog", "examples": "none"})


def test_without_examples_their_place_is_a_variable_like_any_other() -> None:
    content = PromptContent(template="{examples}")

    assert render_prompt(content, {"examples": "x"}).text == "x"


def test_a_declared_default_stands_in_for_a_variable_that_is_not_given() -> None:
    content = PromptContent.model_validate(
        {
            "template": "{greeting} {who}",
            "declared_variables": {"greeting": {"default": "Hello"}, "who": {"description": "whom to greet"}},
        }
    )

    assert render_prompt(content, {"who": "Ada"}).text == "Hello Ada"
    assert render_prompt(content, {"who": "Ada", "greeting": "Hi"}).text == "Hi Ada"
    with pytest.raises(ValidationError, match="missing: who"):
        render_prompt(content, {})


def test_the_bound_counts_the_lists_of_messages_too() -> None:
    content = chat({"placeholder": "history"}, {"placeholder": "history"})
    long = [ChatMessage(role="user", content="x" * (MAX_RENDERED_CHARACTERS // 2 + 1))]

    with pytest.raises(ValidationError, match="longer than"):
        render_prompt(content, {}, {"history": long})
