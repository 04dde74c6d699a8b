"""Front matter in every form that people and editors make is read, or refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tenantry_client.errors import InvalidPromptFileError
from tenantry_client.prompts.files import read_prompt

if TYPE_CHECKING:
    from pathlib import Path

BOM = "\ufeff"
PLAIN = "---\ntags: [demo]\n---\nHello\nyou\n"


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace("---\n", "---\r\n"),
        PLAIN.replace("you\n", "you\r\n"),
        "\n" + PLAIN,
        "\r\n \t\r\n" + PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("---", "--- \t"),
        BOM + PLAIN,
        BOM + BOM + PLAIN,
        BOM + "\n" + BOM + PLAIN,
        PLAIN.removesuffix("\n"),
        PLAIN.replace("tags", "\n\ntags"),
    ],
)
def test_every_way_to_write_front_matter_says_the_same(tmp_path: Path, content: str) -> None:
    file = tmp_path / "p.MD"
    file.write_bytes(content.encode())

    read = read_prompt(file)

    assert (read.name, read.tags, read.template) == ("p", ["demo"], "Hello\nyou")


@pytest.mark.parametrize(
    "content",
    [
        "---",
        "---\n",
        "---\ntags: [demo]\nHello\n",
        "---\ntags: [demo]\n----\nHello\n",
        "---\ntags: [demo]\n ---\nHello\n",
        "---\ntags: [demo]\n...\nHello\n",
        " ---\ntags: [demo]\n---\nHello\n",
        "----\ntags: [demo]\n----\nHello\n",
        "--\ntags: [demo]\n--\nHello\n",
        "--- yaml\ntags: [demo]\n---\nHello\n",
        "---\xa0\ntags: [demo]\n---\nHello\n",
        "\u200b---\ntags: [demo]\n---\nHello\n",
        "\u2014\ntags: [demo]\n\u2014\nHello\n",
        "\u2013-\ntags: [demo]\n\u2013-\nHello\n",
        "+++\ntags = ['demo']\n+++\nHello\n",
        "```yaml\ntags: [demo]\n```\nHello\n",
        "tags: [demo]\n---\nHello\n",
        PLAIN.replace("\n", "\u2028"),
        PLAIN.replace("\n", "\x85"),
        PLAIN.replace("\n", "\v"),
    ],
)
def test_what_is_nearly_front_matter_is_refused_and_never_skipped(tmp_path: Path, content: str) -> None:
    file = tmp_path / "p.markdown"
    file.write_bytes(content.encode())

    with pytest.raises(InvalidPromptFileError, match="front matter"):
        read_prompt(file)


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "latin-1", "cp1252"]
)
@pytest.mark.parametrize("bom", ["", BOM])
def test_another_encoding_is_refused_and_never_skipped(tmp_path: Path, encoding: str, bom: str) -> None:
    file = tmp_path / "p.md"
    bom = bom if encoding.startswith("utf") else ""
    file.write_bytes((bom + PLAIN.replace("you", "d\xfc")).encode(encoding))

    with pytest.raises(InvalidPromptFileError, match=r"UTF|front matter"):
        read_prompt(file)
