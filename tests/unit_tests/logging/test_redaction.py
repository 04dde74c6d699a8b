"""No secret and nothing personal passes; what looks like it and is not stays readable."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.logging.redaction import RULES, is_sensitive, redact
from tests.support.cpu_time import LeastTime
from tests.support.soak import REPEATABLE, SOAK, sized

HIDDEN = {
    "key tk.acme.abcdefghijkl.s3cret-part_x ends": "key [key] ends",
    "Authorization: Bearer eyJhbGciOi.J9-x_y=": "Authorization: Bearer [token]",
    "AccountName=a;AccountKey=Eby8/+==;End=1": "AccountName=a;AccountKey=[secret];End=1",
    "SharedAccessKeyName=root;SharedAccessKey=abc=": "SharedAccessKeyName=root;SharedAccessKey=[secret]",
    "https://a.example/c?sv=1&sig=a%2Bb%3D&se=2": "https://a.example/c?sv=1&sig=[secret]&se=2",
    '{"api_key": "k-123"}': '{"api_key": "[secret]"}',
    "said eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl to it": "said [token] to it",
    "key sk-proj-abcdefghijklmnop1234": "key [key]",
    "redis://cache:hunter2@host:6379/0": "redis://cache:[secret]@host:6379/0",
    "InstrumentationKey=3f2a9c1e-1111;Ingestion": "InstrumentationKey=[secret];Ingestion",
    "write to Ann.Lee+x@mail.example.co.uk now": "write to [email] now",
    "card 4111 1111 1111 1111 was": "card [card] was",
    "card 4111111111111111": "card [card]",
    "call +49 151 23456789 or (555) 123-4567": "call [phone] or [phone]",
    "call 0049 151 23456789": "call [phone]",
    "call 555-123-4567, 0151 2345678": "call [phone], [phone]",
}
KEPT = [
    "2026-01-31T10:30:00.123456+00:00",
    "2026-01-31 10:30:00",
    "order 4111111111111112",
    "3f2a9c1e-1111-4222-8333-123456789012",
    "10.20.30.40:8081",
    "tokens=1200 locked_tokens=4000000",
    "version 1.2.3, 20000 tokens, 12345678901234567890123 bytes",
    "sigmoid and design=1",
]


@pytest.mark.parametrize("text", HIDDEN)
def test_what_is_secret_or_personal_is_replaced(text: str) -> None:
    assert redact(text) == HIDDEN[text]


@pytest.mark.parametrize("text", KEPT)
def test_what_only_looks_like_it_is_kept(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "character", ["a", "1", "1 ", "(1", "tk.", "+1", "a@", ".", "a.", "password=", "1@a."]
)
def test_a_hostile_text_takes_linear_time(character: str) -> None:
    """A quadratic pattern takes minutes on this."""
    least = LeastTime(5)
    for _ in least.tries():
        redact(character * (400_000 // len(character)))
    assert least.seconds < 5


@pytest.mark.parametrize("name", ["password", "client_secret", "Authorization", "x-api-key", "refresh_token"])
def test_a_name_tells_a_secret(name: str) -> None:
    assert is_sensitive(name)


@pytest.mark.parametrize("name", ["used_tokens", "key_id", "partition_key", "tokenizer", "message"])
def test_a_name_that_tells_none_is_kept(name: str) -> None:
    assert not is_sensitive(name)


@settings(REPEATABLE, max_examples=10_000 if SOAK else 500)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(sorted(HIDDEN)),
            st.text(st.sampled_from("0123456789+-()./ @=:;_,tkbearTKBEARsyJ\"'xé\n"), max_size=30),
        ),
        max_size=4,
    ).map(" ".join)
)
@sized(60)
def test_no_text_is_passed_over_that_a_rule_would_change(text: str) -> None:
    by_rules = text
    for pattern, replacement in RULES:
        by_rules = pattern.sub(replacement, by_rules)

    assert redact(text) == by_rules
