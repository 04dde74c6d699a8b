"""`make release`, twice, in a copy of the tree: byte for byte the same."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest

from shared.version import VERSION
from tests.integration_tests.client.environments import skip_where_offline
from tests.integration_tests.make.test_targets import make
from tests.support.working_copy import copy_tree

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow(240)
def test_two_releases_are_byte_for_byte_the_same(tmp_path: Path) -> None:
    tree = copy_tree(tmp_path / "tenantry")
    dist = tree / "dist"
    releases = []
    for _ in range(2):
        done = make(tree, "release", SOURCE_DATE_EPOCH="1800000000")
        skip_where_offline(done.stderr)
        assert done.returncode == 0, done.stdout + done.stderr
        releases.append({path.name: path.read_bytes() for path in dist.iterdir()})

    first, second = releases
    assert [name for name in first if first[name] != second[name]] == []
    wheel = f"tenantry_client-{VERSION}-py3-none-any.whl"
    built = {f"tenantry-app-{VERSION}.zip", f"tenantry-app-{VERSION}.cdx.json", wheel}
    assert first.keys() - {".gitignore"} == built | {"SHA256SUMS"}
    assert {line.split()[1] for line in first["SHA256SUMS"].decode().splitlines()} == built
    with zipfile.ZipFile(dist / f"tenantry-app-{VERSION}.zip") as opened:
        assert {"function_app.py", "host.json", "requirements.txt"} <= set(opened.namelist())
