"""Whatever a secret looks like it is hidden, and whatever an id looks like it is kept."""

from __future__ import annotations

import base64
import json
import random
import string
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.logging.redaction import redact
from shared.tenancy.context import parse_tenant_id
from shared.tenancy.keys import generate_key

if TYPE_CHECKING:
    from collections.abc import Callable

REPEATABLE = settings(derandomize=True, deadline=None, max_examples=300)
SURROUNDINGS = ["{}", "said {} to it", '{{"field": "{}"}}', "({})", "a={}&b=1", "x: {}, y", "'{}'"]
ALPHABET = string.ascii_letters + string.digits + "-_"


def token(chance: random.Random, length: int) -> str:
    return "".join(chance.choices(ALPHABET, k=length))


def api_key(chance: random.Random) -> str:
    return str(generate_key(parse_tenant_id(f"t{chance.randrange(10**9)}")))


def web_token(chance: random.Random) -> str:
    parts = [json.dumps({"alg": "RS256", "kid": token(chance, 5)}), json.dumps({"sub": token(chance, 9)})]
    encoded = [base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, token(chance, 43)])


def mail_address(chance: random.Random) -> str:
    name = "".join(chance.choices(string.ascii_lowercase + string.digits, k=chance.randint(1, 12)))
    return f"{name}@{chance.choice(['mail.example', 'a-b.example.co', 'x.org'])}"


def card_number(chance: random.Random) -> str:
    prefix, length = chance.choice(
        [("4", 16), ("51", 16), ("2221", 16), ("37", 15), ("6011", 16), ("36", 14)]
    )
    digits = prefix + "".join(chance.choices(string.digits, k=length - len(prefix) - 1))
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[::-2])
    total = doubled + sum(int(digit) for digit in digits[-2::-2])
    whole = digits + str(-total % 10)
    return chance.choice([whole, " ".join(whole[at : at + 4] for at in range(0, length, 4))])


SECRETS: list[Callable[[random.Random], str]] = [api_key, web_token, mail_address, card_number]


@REPEATABLE
@given(st.integers(0, 2**32), st.sampled_from(SECRETS), st.sampled_from(SURROUNDINGS))
@pytest.mark.slow
def test_no_secret_passes_wherever_it_stands(
    seed: int, make: Callable[[random.Random], str], surroundings: str
) -> None:
    secret = make(random.Random(seed))  # noqa: S311  # a test's own

    said = redact(surroundings.format(secret))

    assert secret not in said
    assert len(said) < len(surroundings) + 20


moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(  # noqa: DTZ001  # hypothesis wants naive bounds
    lambda naive: naive.replace(tzinfo=UTC)
)
ids = st.one_of(
    st.uuids().map(str),
    st.uuids().map(lambda one: one.hex),
    st.integers(0, 2**128 - 1).map(lambda number: f"{number:032x}"),
    st.integers(0, 2**48 - 1).map(lambda number: f"{number:012x}"),
    moments.map(lambda at: at.isoformat()),
    moments.map(lambda at: at.isoformat(sep=" ", timespec="milliseconds")),
    moments.map(lambda at: str(int(at.timestamp()))),
    moments.map(lambda at: str(int(at.timestamp() * 1000))),
    moments.map(lambda at: str(int(at.timestamp() * 1_000_000))),
    moments.map(lambda at: at.strftime("%Y%m%dT%H%M%S%fZ")),
    st.integers(0, 10**7).map(lambda number: f"version:greeting:{number:08d}"),
    st.integers(0, 10**7).map(lambda number: f"{number:012d}"),
    st.timedeltas(timedelta(0), timedelta(1)).map(str),
    st.floats(0, 10**6).map(lambda number: f"{number:.3f}"),
)


@REPEATABLE
@given(ids, st.sampled_from(SURROUNDINGS))
@pytest.mark.slow
def test_ids_and_times_stay_readable(found: str, surroundings: str) -> None:
    line = surroundings.format(found)

    assert redact(line) == line
