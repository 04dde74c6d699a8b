"""Effective keys are azure-cosmos's, bit for bit: they say where an item lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from azure.cosmos.partition_key import PartitionKey as SdkPartitionKey
from azure.cosmos.partition_key import _Undefined
from hypothesis import given
from hypothesis import strategies as st

from tenantry_client.cosmos.effective_key import Component, Undefined, hash_key
from tenantry_client.cosmos.partition_key import KeyDefinition, KeyRange, NonePartitionKeyValue

if TYPE_CHECKING:
    from collections.abc import Sequence

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=140)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = TEXTS | NUMBERS | st.booleans() | st.none()


def hash_by_sdk(definition: SdkPartitionKey, values: Sequence[object]) -> str:
    return str(definition._get_effective_partition_key_string(values)).upper()  # type: ignore[arg-type] # noqa: SLF001 - the oracle


@given(VALUES)
def test_a_key_of_version_2_is_hashed_as_the_sdk_does(value: Component) -> None:
    expected = hash_by_sdk(SdkPartitionKey("/pk"), [value])
    assert hash_key([value], version=2, hierarchical=False) == expected


@given(st.text(st.characters(max_codepoint=126), max_size=140) | st.booleans())
def test_a_key_of_version_1_is_hashed_as_the_sdk_does(value: Component) -> None:
    expected = hash_by_sdk(SdkPartitionKey("/pk", version=1), [value])
    assert hash_key([value], version=1, hierarchical=False) == expected


@given(st.lists(VALUES, min_size=1, max_size=3))
def test_a_hierarchical_key_is_hashed_level_by_level(values: list[Component]) -> None:
    expected = hash_by_sdk(SdkPartitionKey(["/a", "/b", "/c"], kind="MultiHash"), values)
    assert hash_key(values, version=2, hierarchical=True) == expected


def test_a_key_that_an_item_has_not_is_a_key_of_its_own() -> None:
    expected = hash_by_sdk(SdkPartitionKey("/pk"), [_Undefined()])
    assert hash_key([Undefined()], version=2, hierarchical=False) == expected
    assert expected != hash_key([None], version=2, hierarchical=False)


@pytest.mark.parametrize(
    ("paths", "item", "header"),
    [
        (["/pk"], {"pk": "a"}, '["a"]'),
        (["/pk"], {"pk": None}, "[null]"),
        (["/pk"], {"pk": 1.5}, "[1.5]"),
        (["/pk"], {"pk": "ä\n"}, r'["\u00e4\n"]'),
        (["/pk"], {}, "[{}]"),
        (["/pk"], {"pk": {"deep": 1}}, "[{}]"),
        (["/a/b"], {"a": {"b": True}}, "[true]"),
        (['/"a/b"/c'], {"a/b": {"c": "x"}}, '["x"]'),
    ],
)
def test_the_key_of_an_item_is_what_stands_at_its_path(
    paths: list[str], item: dict[str, object], header: str
) -> None:
    definition = KeyDefinition.parse({"paths": paths, "kind": "Hash", "version": 2})
    assert definition.header_of_item(item) == header


def test_a_level_that_an_item_has_not_is_null_as_the_sdk_has_it() -> None:
    definition = KeyDefinition.parse({"paths": ["/a", "/b"], "kind": "MultiHash", "version": 2})
    assert definition.header_of_item({"a": "x"}) == '["x",null]'
    assert definition.is_prefix(["x"])
    assert not definition.is_prefix(["x", "y"])
    assert definition.range_of(["x"]).high == definition.range_of(["x"]).low + "FF"


def test_no_key_is_empty_where_the_service_made_the_container_s_key() -> None:
    usual = KeyDefinition.parse({"paths": ["/pk"]})
    made = KeyDefinition.parse({"paths": ["/_partitionKey"], "systemKey": True})
    assert usual.header_of(NonePartitionKeyValue) == "[{}]"
    assert made.header_of(NonePartitionKeyValue) == "[]"
    assert made.range_of_header("[]") == KeyRange("", "00")
