"""Each file of a folder is read or told of, and a folder is bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tenantry_client.prompts import folder as folders
from tenantry_client.prompts.folder import FolderTooLargeError, index_folder

if TYPE_CHECKING:
    from pathlib import Path

PROMPT = "---\n---\nHello\n"


def test_every_file_is_a_prompt_or_told_of_with_its_reason(tmp_path: Path) -> None:
    for name in ("b.md", "sub/a.Markdown", "sub/sub/f.MD", ".hidden.md", ".git/config.md", "e.txt", "none"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(PROMPT)
    (tmp_path / "c.YML").write_text("template: Hi\n")
    (tmp_path / "README.md").write_text("# Ours\n")
    (tmp_path / "link").symlink_to(tmp_path / "sub")
    (tmp_path / "link.md").symlink_to(tmp_path / "b.md")
    (tmp_path / "folder.md").mkdir()

    index = index_folder(tmp_path)

    assert {name: index.label_of(file) for name, file in index.files.items()} == {
        "a": "sub/a.Markdown",
        "b": "b.md",
        "c": "c.YML",
        "f": "sub/sub/f.MD",
    }
    assert {report.file: (report.outcome.value, report.detail) for report in index.reports} == {
        ".git": ("skipped", "hidden"),
        ".hidden.md": ("skipped", "hidden"),
        "README.md": ("skipped", "no front matter"),
        "e.txt": ("skipped", "no .md, .markdown, .yaml or .yml file"),
        "link": ("skipped", "a link to a folder is not followed"),
        "link.md": ("failed", "Only plain files are read, no links"),
        "none": ("skipped", "no .md, .markdown, .yaml or .yml file"),
    }


def test_a_prompt_in_two_files_is_told_of_both(tmp_path: Path) -> None:
    for name in ("a.md", "sub/a.md", "sub/b.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("---\nname: a\n---\nHello\n")

    index = index_folder(tmp_path)

    assert index.files == {}
    assert [(one.file, one.detail) for one in index.reports] == [
        ("a.md", "'a' is in sub/a.md, sub/b.md too"),
        ("sub/a.md", "'a' is in a.md, sub/b.md too"),
        ("sub/b.md", "'a' is in a.md, sub/a.md too"),
    ]


def test_a_folder_has_a_bound_in_files_and_in_levels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "MAX_FILES", 3)
    for number in range(4):
        (tmp_path / f"{number}.md").write_text(PROMPT)
    with pytest.raises(FolderTooLargeError, match="more than 3 files"):
        index_folder(tmp_path)

    deep = tmp_path / "deep"
    (deep / "/".join("x" * 30)).mkdir(parents=True)
    monkeypatch.setattr(folders, "MAX_FILES", 100)
    with pytest.raises(FolderTooLargeError, match="levels"):
        index_folder(deep)
