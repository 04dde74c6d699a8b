"""Effective partition keys, held against the SDK's own."""

from __future__ import annotations

import pytest
from azure.cosmos.partition_key import PartitionKey as SdkPartitionKey
from hypothesis import given
from hypothesis import strategies as st

from local.cosmos.engine.partition import EVERYTHING, EpkRange, PartitionKeyDefinition
from local.cosmos.values import UNDEFINED
from tests.support.soak import REPEATABLE

FLAT = PartitionKeyDefinition((("a",),), hierarchical=False)
OLD = PartitionKeyDefinition((("a",),), hierarchical=False, version=1)
DEEP = PartitionKeyDefinition((("a",), ("b",), ("c",)), hierarchical=True)
COMPONENTS = st.one_of(
    st.text(), st.floats(allow_nan=False).map(lambda value: value + 0.0), st.booleans(), st.none()
)


@REPEATABLE
@given(COMPONENTS)
def test_a_key_hashes_as_in_the_sdk(component: str | float | bool | None) -> None:  # noqa: FBT001 - a key
    expected = SdkPartitionKey("/a")._get_effective_partition_key_string([component])  # noqa: SLF001 - the truth
    assert FLAT.of_components((component,)).epk.hex().upper() == expected


@REPEATABLE
@given(COMPONENTS)
def test_a_key_of_version_1_hashes_as_in_the_sdk(component: str | float | bool | None) -> None:  # noqa: FBT001 - a key
    sdk = SdkPartitionKey("/a", version=1)
    expected = sdk._get_effective_partition_key_string([component])  # noqa: SLF001 - the truth
    assert OLD.of_components((component,)).epk.hex().upper() == str(expected).upper()


@REPEATABLE
@given(st.tuples(COMPONENTS, COMPONENTS, COMPONENTS))
def test_a_hierarchical_key_hashes_as_in_the_sdk(
    components: tuple[str | float | bool | None, ...],
) -> None:
    sdk = SdkPartitionKey(["/a", "/b", "/c"])
    key = DEEP.of_components(components)
    assert key.epk.hex().upper() == sdk._get_effective_partition_key_string(components)  # noqa: SLF001 - the truth
    for length in (1, 2):
        prefix = DEEP.prefix_range(components[:length])
        expected = sdk._get_epk_range_for_prefix_partition_key(components[:length])  # noqa: SLF001 - the truth
        assert (prefix.low.hex().upper(), (prefix.high or b"").hex().upper()) == (expected.min, expected.max)
        assert prefix.holds(key.epk)


@REPEATABLE
@given(st.tuples(st.text(), st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_a_prefix_holds_exactly_the_keys_that_begin_with_it(
    components: tuple[str, str, str], prefix: tuple[str, str]
) -> None:
    held = DEEP.prefix_range(prefix).holds(DEEP.of_components(components).epk)
    assert held == (components[:2] == prefix)


@REPEATABLE
@given(st.tuples(COMPONENTS, COMPONENTS, COMPONENTS), st.tuples(COMPONENTS, COMPONENTS, COMPONENTS))
def test_keys_are_equal_only_if_their_components_are(
    one: tuple[str | float | bool | None, ...], other: tuple[str | float | bool | None, ...]
) -> None:
    same = one == other and [type(part) for part in one] == [type(part) for part in other]
    assert (DEEP.of_components(one).canonical == DEEP.of_components(other).canonical) == same


def test_an_absent_key_is_not_null() -> None:
    assert FLAT.of_components((UNDEFINED,)) != FLAT.of_components((None,))


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (EVERYTHING, EpkRange(b"\x01", b"\x02"), EpkRange(b"\x01", b"\x02")),
        (EpkRange(b"\x01", b"\x05"), EpkRange(b"\x03", None), EpkRange(b"\x03", b"\x05")),
        (EVERYTHING, EVERYTHING, EVERYTHING),
    ],
)
def test_ranges_intersect(one: EpkRange, other: EpkRange, both: EpkRange) -> None:
    assert one.intersect(other) == other.intersect(one) == both
