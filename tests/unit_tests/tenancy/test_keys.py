"""API keys: what they look like, and what is refused without a look-up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.tenancy.context import TENANT_ID_PATTERN, parse_tenant_id
from shared.tenancy.keys import AdminKeys, digest_of, generate_key, parse_key

ACME = parse_tenant_id("acme")


@given(st.from_regex(TENANT_ID_PATTERN, fullmatch=True))
def test_a_generated_key_is_parsed_back(tenant_id: str) -> None:
    key = generate_key(parse_tenant_id(tenant_id))

    assert parse_key(str(key)) == key


def test_a_key_names_its_tenant_and_itself() -> None:
    key = generate_key(ACME)

    prefix, tenant, key_id, _ = str(key).split(".")
    assert (prefix, tenant, key_id) == ("tk", "acme", key.key_id)


def test_two_keys_share_neither_id_nor_secret() -> None:
    first, second = generate_key(ACME), generate_key(ACME)

    assert first.key_id != second.key_id
    assert first.secret != second.secret


def test_what_is_stored_is_the_digest_of_what_is_presented() -> None:
    key, other = generate_key(ACME), generate_key(ACME)

    assert bytes.fromhex(key.hash()) == digest_of(str(key))
    assert key.hash() != other.hash()


def test_each_of_the_administrators_keys_is_compared_whichever_it_is() -> None:
    compared: list[tuple[bytes, bytes]] = []

    def spy(presented: bytes, known: bytes) -> bool:
        compared.append((presented, known))
        return presented == known

    admins = AdminKeys(["the-one", "the-other"], spy)

    assert [admins.include(digest_of(key)) for key in ("the-one", "the-other", "neither")] == [
        True,
        True,
        False,
    ]
    assert len(compared) == 6
    assert {len(digest) for pair in compared for digest in pair} == {32}


def test_the_secret_is_in_neither_the_hash_nor_the_representation() -> None:
    key = generate_key(ACME)

    assert key.secret not in key.hash()
    assert key.secret not in repr(key)


@given(st.integers(0, 200), st.characters(codec="ascii", categories=["L", "N"]))
def test_one_changed_character_is_refused_by_the_checksum_or_the_form(
    position: int, replacement: str
) -> None:
    text = str(generate_key(ACME))
    position %= len(text)
    changed = text[:position] + replacement + text[position + 1 :]

    assert changed == text or parse_key(changed) is None


@pytest.mark.parametrize(
    "junk", ["", "tk", "tk...", "tk.acme.0123456789ab.short", "Bearer x", "tk.acme.x.y" * 50, "tk.a\x00.b.c"]
)
def test_junk_is_no_key(junk: str) -> None:
    assert parse_key(junk) is None
