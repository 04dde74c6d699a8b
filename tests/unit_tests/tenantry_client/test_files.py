"""A prompt survives its file to the character, and a file can do no harm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings

from tenantry_client.errors import InvalidPromptFileError
from tenantry_client.prompts.files import (
    MAX_FILE_BYTES,
    NoPromptFileError,
    format_prompt,
    read_prompt,
    write_file,
)
from tenantry_client.prompts.models import PromptFile
from tests.unit_tests.tenantry_client.prompts import FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def prompt_of(fields: Mapping[str, Any], name: str = "p") -> PromptFile:
    return PromptFile.model_validate({"name": name} | dict(fields))


def write(folder: Path, prompt: PromptFile) -> tuple[Path, bool]:
    suffix, content = format_prompt(prompt)
    file = folder / f"{prompt.name}{suffix}"
    return file, write_file(file, content)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=60,
    deadline=None,
)
@given(FIELDS)
@pytest.mark.slow
def test_any_prompt_comes_back_from_its_file_as_it_was(tmp_path: Path, fields: dict[str, Any]) -> None:
    prompt = prompt_of(fields)

    file, _ = write(tmp_path, prompt)
    read = read_prompt(file)

    assert read == prompt
    assert write(tmp_path, prompt) == (file, False)


def test_a_text_is_markdown_that_people_can_write(tmp_path: Path) -> None:
    file = tmp_path / "greeting.md"
    file.write_text(
        "---\ndescription: Greets.\ntags: [demo]\n"
        "config: {model: gpt-4o, temperature: 0.2}\n---\nHello {who}!\n"
    )

    read = read_prompt(file)

    assert (read.name, read.template, read.tags) == ("greeting", "Hello {who}!", ["demo"])
    assert read.config == {"model": "gpt-4o", "temperature": 0.2}
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert read_prompt(file).template == "Hello {who}!"


def test_lines_are_written_as_lines(tmp_path: Path) -> None:
    content = "You help.\nBe brief.\n"
    prompt = prompt_of(
        {"template": [{"role": "system", "content": content}, {"placeholder": "history"}]}, "chat"
    )

    file, _ = write(tmp_path, prompt)

    assert file.read_text() == (
        "name: chat\ntemplate:\n- role: system\n  content: |\n    You help.\n    Be brief.\n"
        "- placeholder: history\n"
    )
    assert read_prompt(file).template == prompt.template


def test_a_chat_is_yaml(tmp_path: Path) -> None:
    file = tmp_path / "chat.yml"
    file.write_text("name: other\ntemplate:\n- {role: system, content: Hi}\n- {placeholder: history}\n")

    read = read_prompt(file)

    assert (read.name, len(read.template)) == ("other", 2)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"---\n---\n", "at least 1 character"),
        (b"---\ntenant_id: victim\n---\nx", "tenant_id"),
        (b"---\nif_match: '1'\n---\nx", "if_match"),
        (b"---\nname: ../../etc/passwd\n---\nx", "name"),
        (b"---\nname: a/b\n---\nx", "name"),
        (b"---\nname: 7\n---\nx", "name"),
        (b"---\ntemplate: y\n---\nx", "after the front matter"),
        (b"---\n- a\n---\nx", "no mapping"),
        (b"---\n[]\n---\nx", "no mapping"),
        (b"---\nfalse\n---\nx", "no mapping"),
        (b"---\nonly words\n---\nx", "no mapping"),
        (b"---\nconfig: {since: 2024-01-01}\n---\nx", "no JSON value at 'config.since'"),
        (b"---\nconfig: {1: a}\n---\nx", "no JSON value at 'config.1"),
        (b"---\nconfig: {a: .nan}\n---\nx", "not YAML"),
        (b'---\nconfig: {a: "\\ud800"}\n---\nx', "not"),
        (b'---\nconfig: {"\\ud800": a}\n---\nx', "not"),
        (b"---\na: &a [1]\nb: *a\n---\nx", "aliases"),
        (b"---\nx: !!python/object/apply:os.system [id]\n---\nx", "not YAML"),
        (b"---\nx: [\n---\nx", "not YAML"),
        (b"---\nx: " + b"[" * 2000 + b"\n---\nx", "nested too deeply"),
        (b"---\nx: " + b"[" * 21 + b"]" * 21 + b"\n---\nx", "nested too deeply"),
        (b"---\nx: [" + b"1," * 200_000 + b"]\n---\nx", "too many values"),
        (b"---\n---\n\xff", "not UTF-8"),
        (b"x" * (MAX_FILE_BYTES + 1), "at most"),
        (b"---\n---\n" + b'"' * 600_000, "at most"),
        (b"---\ndate: 2024-13-45\n---\nx", "not YAML"),
        (b"---\nx: 0x_\n---\nx", "not YAML"),
        (b"---\nx: !!int ''\n---\nx", "not YAML"),
        (b"---\nx: !!bool maybe\n---\nx", "not YAML"),
        (b"---\nx: !!timestamp x\n---\nx", "not YAML"),
        (b"---\nx: 2001-12-14t21:59:43.10-99:99\n---\nx", "not YAML"),
        (b"---\nx: " + b"9" * 5000 + b"\n---\nx", "a number has at most"),
        (b"---\nx: 1" + b":1" * 100_000 + b"\n---\nx", "a number has at most"),
        (b"---\nname: p\nname: q\n---\nx", "'name' is there twice"),
        (b"---\nconfig: {model: a, model: b}\n---\nx", "'model' is there twice"),
    ],
)
def test_a_file_that_is_no_prompt_says_why(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "p.md"
    file.write_bytes(content)

    with pytest.raises(InvalidPromptFileError) as refused:
        read_prompt(file)
    assert said in refused.value.message


@pytest.mark.parametrize(
    "content", [b"---\n" + b"x" * 90_000 + b": 1\n---\nx", b"---\n!" + b"x" * 90_000 + b" a\n---\nx"]
)
def test_a_refusal_is_one_short_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "p.md"
    file.write_bytes(content)

    with pytest.raises(InvalidPromptFileError) as refused:
        read_prompt(file)
    assert len(refused.value.message) < 600
    assert refused.value.message.isprintable()


def test_markdown_without_front_matter_is_somebody_elses(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    for text in ("# Prompts\n---\nnot front matter\n---\n", "", "\n\n", "- a\n- b\n", "Names: many\n"):
        file.write_text(text)
        with pytest.raises(NoPromptFileError):
            read_prompt(file)


def test_a_link_is_not_followed_when_reading_nor_when_writing(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("---\n---\nsecret\n")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "p.md").symlink_to(outside)

    with pytest.raises(InvalidPromptFileError, match="no links"):
        read_prompt(folder / "p.md")
    file, changed = write(folder, prompt_of({"template": "mine"}))

    assert (changed, file.is_symlink(), outside.read_text()) == (True, False, "---\n---\nsecret\n")


@pytest.mark.parametrize("name", ["../p", "a/b", "..", "", ".hidden", "a\\b", "c:d", "a\x00b"])
def test_no_path_is_made_of_a_name_that_no_prompt_can_have(name: str) -> None:
    with pytest.raises(InvalidPromptFileError):
        format_prompt(PromptFile.model_construct(name=name, template="x"))


def test_nothing_is_left_of_a_file_that_could_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "p.md").mkdir()
    with pytest.raises(OSError, match=r"p\.md"):
        write(tmp_path, prompt_of({"template": "x"}))

    assert [file.name for file in tmp_path.iterdir()] == ["p.md"]


@pytest.mark.parametrize(
    "text", ["0\r", "0\r\n", "\r", "\ufeff0", "a\r\nb\rc", "\n---\n", "\x00", "a\u2028b"]
)
@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_a_text_keeps_its_last_character_whatever_that_is_and_in_every_checkout(
    tmp_path: Path, text: str, newline: bytes
) -> None:
    file, _ = write(tmp_path, prompt_of({"template": text}))
    file.write_bytes(file.read_bytes().replace(b"\n", newline))

    assert read_prompt(file).template == text


def test_a_byte_order_mark_before_the_front_matter_hides_no_prompt(tmp_path: Path) -> None:
    file = tmp_path / "p.md"
    file.write_bytes(b"\xef\xbb\xbf---\r\ntags: [demo]\r\n---\r\nHello\r\n")

    read = read_prompt(file)

    assert (read.template, read.tags) == ("Hello", ["demo"])
