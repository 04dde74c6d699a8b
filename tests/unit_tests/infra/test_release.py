"""What a release refuses, and what it writes down of itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from infra.release import ReleaseError, check_changelog, find_epoch, list_parts, read_version
from shared.version import VERSION
from tests.support.working_copy import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def test_all_parts_have_one_version() -> None:
    assert read_version(ROOT) == VERSION


def test_versions_that_differ_are_no_release(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "tenantry_client").mkdir()
    (tmp_path / "shared" / "version.py").write_text('VERSION: Final = "1.0.0"\n')
    (tmp_path / "tenantry_client" / "version.py").write_text('VERSION: Final = "1.0.1"\n')
    (tmp_path / "pyproject.toml").write_text('version = "1.0.0"\n')

    with pytest.raises(ReleaseError, match=r"1\.0\.1"):
        read_version(tmp_path)


@pytest.mark.parametrize(
    ("heading", "tag", "problem"),
    [
        ("## [0.9.0]", None, "no section"),
        ("## [1.0.0]", "v1.0.1", "the tag is v1.0.1"),
        ("## [1.0.0]", "v1.0.0", "write the day"),
        ("## [1.0.0] - soon", "v1.0.0", "write the day"),
        ("## [1.0.0] - 2027-01-31", "v1.0.0", None),
        ("## [1.0.0]", None, None),
    ],
)
def test_the_changelog_has_the_version_and_with_a_tag_its_day(
    tmp_path: Path, heading: str, tag: str | None, problem: str | None
) -> None:
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n{heading}\n")

    if problem is None:
        check_changelog(tmp_path, "1.0.0", tag)
    else:
        with pytest.raises(ReleaseError, match=problem):
            check_changelog(tmp_path, "1.0.0", tag)


def test_this_version_has_its_section() -> None:
    check_changelog(ROOT, VERSION, None)


def test_the_time_of_the_files_is_the_given_one_or_the_last_commits(tmp_path: Path) -> None:
    assert find_epoch(ROOT, {"SOURCE_DATE_EPOCH": "1800000000"}) == 1_800_000_000
    assert find_epoch(ROOT, {}) > 1_700_000_000
    with pytest.raises(ReleaseError, match="SOURCE_DATE_EPOCH"):
        find_epoch(tmp_path, {})


def test_the_list_of_parts_is_the_same_each_time_and_has_what_is_deployed() -> None:
    first, second = (list_parts(ROOT, "1.0.0", 1_800_000_000) for _ in range(2))

    assert json.dumps(first) == json.dumps(second)
    assert (first["bomFormat"], first["metadata"]["timestamp"]) == ("CycloneDX", "2027-01-15T08:00:00+00:00")
    names = {one["name"] for one in first["components"]}
    assert {"azure-cosmos", "openai", "pydantic"} <= names
    assert names.isdisjoint({"pytest", "rich", "schemathesis"})
    assert all(one["purl"].startswith("pkg:pypi/") for one in first["components"])
