"""The keys that the demo remembers of its last run."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from local.demo.filling import Keys
from local.demo.memory import read_keys, write_keys

if TYPE_CHECKING:
    from pathlib import Path


def test_keys_come_back_out_of_a_file_that_nobody_else_reads(tmp_path: Path) -> None:
    keys = Keys({"acme": "tk.acme.k.s"}, "tk.acme.u.s")
    write_keys(tmp_path / "demo.json", keys)

    assert read_keys(tmp_path / "demo.json") == keys
    assert stat.S_IMODE((tmp_path / "demo.json").stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["demo.json"]


@pytest.mark.parametrize("content", [None, "", "{", '{"other": 1}', "[]"])
def test_a_file_that_is_none_of_the_demos_holds_no_keys(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "demo.json").write_text(content)

    assert read_keys(tmp_path / "demo.json") == Keys()
