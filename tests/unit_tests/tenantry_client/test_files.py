"""A prompt survives its file to the character, and a file can do no harm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import ValidationError
from shared.prompts.models import PromptDraft
from tenantry_client.cli.files import MAX_FILE_BYTES, NoPromptFileError, files_in, read_prompt, write_prompt

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TEXTS = st.text(min_size=1, max_size=200).map(lambda text: text.replace("{", "{{").replace("}", "}}"))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
DRAFTS = st.fixed_dictionaries(
    {
        "template": TEXTS
        | st.lists(
            st.fixed_dictionaries({"role": st.sampled_from(["system", "user"]), "content": TEXTS}),
            min_size=1,
            max_size=3,
        )
    },
    optional={
        "description": st.text(max_size=50),
        "tags": st.lists(st.text(min_size=1, max_size=20), max_size=3),
        "config": st.dictionaries(st.text(max_size=10), JSON, max_size=3),
    },
)


def draft_of(fields: Mapping[str, Any]) -> PromptDraft:
    return PromptDraft.model_validate(fields, strict=False)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(DRAFTS)
def test_any_prompt_comes_back_from_its_file_as_it_was(tmp_path: Path, fields: dict[str, Any]) -> None:
    draft = draft_of(fields)

    file, _ = write_prompt(tmp_path, "p", draft)
    read = read_prompt(file)

    assert read.name == "p"
    assert read.model_dump(exclude={"name", "if_match"}) == draft.model_dump()
    assert write_prompt(tmp_path, "p", draft) == (file, False)


def test_a_text_is_markdown_that_people_can_write(tmp_path: Path) -> None:
    file = tmp_path / "greeting.md"
    file.write_text(
        "---\ndescription: Greets.\ntags: [demo]\n"
        "config: {model: gpt-4o, temperature: 0.2}\n---\nHello {who}!\n"
    )

    read = read_prompt(file)

    assert (read.name, read.template, read.tags) == ("greeting", "Hello {who}!", ("demo",))
    assert read.config == {"model": "gpt-4o", "temperature": 0.2}
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert read_prompt(file).template == "Hello {who}!"


def test_lines_are_written_as_lines(tmp_path: Path) -> None:
    content = "You help.\nBe brief.\n"
    draft = draft_of({"template": [{"role": "system", "content": content}, {"placeholder": "history"}]})

    file, _ = write_prompt(tmp_path, "chat", draft)

    assert file.read_text() == (
        "name: chat\ntemplate:\n- role: system\n  content: |\n    You help.\n    Be brief.\n"
        "- placeholder: history\n"
    )
    assert read_prompt(file).template == draft.template


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
        (b"---\nname: ../../etc/passwd\n---\nx", "name"),
        (b"---\nname: a/b\n---\nx", "name"),
        (b"---\ntemplate: y\n---\nx", "follows the front matter"),
        (b"---\n- a\n---\nx", "no JSON value"),
        (b"---\nconfig: {since: 2024-01-01}\n---\nx", "no JSON value at 'config.since'"),
        (b"---\na: &a [1]\nb: *a\n---\nx", "aliases"),
        (b"---\nx: !!python/object/apply:os.system [id]\n---\nx", "not YAML"),
        (b"---\nx: [\n---\nx", "not YAML"),
        (b"---\nx: " + b"[" * 2000 + b"\n---\nx", ""),
        (b"---\n---\n{a.b}", "single '{'"),
        (b"---\n---\n\xff", "not UTF-8"),
        (b"x" * (MAX_FILE_BYTES + 1), "at most"),
        (b"---\ndate: 2024-13-45\n---\nx", "not YAML"),
        (b"---\nx: 0x_\n---\nx", "not YAML"),
        (b"---\nx: !!int ''\n---\nx", "not YAML"),
        (b"---\nx: !!bool maybe\n---\nx", "not YAML"),
        (b"---\nx: !!timestamp x\n---\nx", "not YAML"),
        (b"---\nx: 2001-12-14t21:59:43.10-99:99\n---\nx", "not YAML"),
        (b"---\nx: " + b"9" * 5000 + b"\n---\nx", "not YAML"),
        (b"---\nname: p\nname: q\n---\nx", "'name' is there twice"),
        (b"---\nconfig: {model: a, model: b}\n---\nx", "'model' is there twice"),
    ],
)
def test_a_file_that_is_no_prompt_says_why(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "p.md"
    file.write_bytes(content)

    with pytest.raises(ValidationError) as refused:
        read_prompt(file)
    assert said in refused.value.message


def test_markdown_without_front_matter_is_somebody_elses(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text("# Prompts\n---\nnot front matter\n---\n")

    with pytest.raises(NoPromptFileError):
        read_prompt(file)


def test_a_link_is_not_followed_when_reading_nor_when_writing(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("---\n---\nsecret\n")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "p.md").symlink_to(outside)

    with pytest.raises(ValidationError, match="no links"):
        read_prompt(folder / "p.md")
    file, changed = write_prompt(folder, "p", PromptDraft(template="mine"))

    assert (changed, file.is_symlink(), outside.read_text()) == (True, False, "---\n---\nsecret\n")


@pytest.mark.parametrize("name", ["../p", "a/b", "..", "", ".hidden", "a\\b", "c:d", "a\x00b"])
def test_no_path_is_made_of_a_name_that_no_prompt_can_have(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    with pytest.raises(ValidationError):
        write_prompt(folder, name, PromptDraft(template="x"))

    assert list(tmp_path.iterdir()) == []


def test_only_prompt_files_are_looked_at_in_order(tmp_path: Path) -> None:
    for name in ("b.md", "a.yaml", "c.yml", ".d.md", "e.txt", "f.MD"):
        (tmp_path / name).touch()

    assert [file.name for file in files_in(tmp_path)] == ["a.yaml", "b.md", "c.yml"]


def test_nothing_is_left_of_a_file_that_could_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "p.md").mkdir()
    with pytest.raises(OSError, match=r"p\.md"):
        write_prompt(tmp_path, "p", PromptDraft(template="x"))

    assert [file.name for file in tmp_path.iterdir()] == ["p.md"]


@pytest.mark.parametrize("text", ["0\r", "0\r\n", "\r", "\ufeff0"])
def test_a_text_keeps_its_last_character_whatever_that_is(tmp_path: Path, text: str) -> None:
    file, _ = write_prompt(tmp_path, "p", PromptDraft(template=text))

    assert read_prompt(file).template == text


def test_a_byte_order_mark_before_the_front_matter_hides_no_prompt(tmp_path: Path) -> None:
    file = tmp_path / "p.md"
    file.write_bytes(b"\xef\xbb\xbf---\r\ntags: [demo]\r\n---\r\nHello\r\n")

    read = read_prompt(file)

    assert (read.template, read.tags) == ("Hello", ("demo",))
