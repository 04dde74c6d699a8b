"""One prompt is one file: Markdown with front matter for a text, YAML for a chat."""

from __future__ import annotations

import codecs
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError as PydanticError

from tenantry_client.errors import InvalidPromptFileError
from tenantry_client.prompts.front_matter import split_front_matter
from tenantry_client.prompts.models import MAX_CONTENT_BYTES, PromptFields, PromptFile
from tenantry_client.prompts.yaml_text import read_yaml, write_yaml

if TYPE_CHECKING:
    from pydantic import JsonValue

    from tenantry_client.prompts.models import Facts

MAX_FILE_BYTES = 1_000_000
TEXT_SUFFIXES = (".md", ".markdown")
YAML_SUFFIXES = (".yaml", ".yml")
_MOST_PROBLEMS = 5
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
_FIELDS = ("name", "description", "tags", "config", "declared_variables", "examples")


class NoPromptFileError(Exception):
    """A file that is something else, such as the folder's README."""


def has_prompt_suffix(name: str) -> bool:
    """Tell whether a file may be a prompt's, by its name."""
    return Path(name).suffix.lower() in TEXT_SUFFIXES + YAML_SUFFIXES


def is_yaml(file: Path) -> bool:
    """Tell whether a file is read as YAML rather than Markdown."""
    return file.suffix.lower() in YAML_SUFFIXES


def read_prompt(file: Path) -> PromptFile:
    """Read a prompt; where the file gives no name, it is the file's own.

    Raises:
        NoPromptFileError: It is Markdown without front matter.
        InvalidPromptFileError: It is no prompt that could be saved, and it says why.
        OSError: It cannot be read.
    """
    text = _decode(_read_bytes(file))
    if is_yaml(file):
        fields = read_yaml(text)
    else:
        parts = split_front_matter(text)
        if parts is None:
            raise NoPromptFileError("no front matter")
        fields = read_yaml(parts.fields)
        if "template" in fields:
            raise InvalidPromptFileError("The template is the text after the front matter, not a field in it")
        fields["template"] = parts.text
    fields.setdefault("name", file.stem)
    prompt = _build(fields)
    if len(prompt.to_item()) > MAX_CONTENT_BYTES:
        raise InvalidPromptFileError(f"A prompt has at most {MAX_CONTENT_BYTES} bytes as JSON")
    return prompt


def format_prompt(prompt: PromptFields) -> tuple[str, bytes]:
    """Return the suffix and the content of a prompt's file.

    Raises:
        InvalidPromptFileError: The name is no prompt's, so that no path may be made of it.
        ValueError: It holds half of a surrogate pair.
    """
    checked = _build(prompt.model_dump(include=set(PromptFields.model_fields), exclude_defaults=True))
    dumped = checked.model_dump(include=set(_FIELDS), exclude_defaults=True)
    fields: Facts = {name: dumped[name] for name in _FIELDS if name in dumped}
    if isinstance(checked.template, str) and "\r" not in checked.template:
        # One newline ends the file and is not the template's, as editors want it.
        return TEXT_SUFFIXES[0], f"---\n{write_yaml(fields)}---\n{checked.template}\n".encode()
    # Markdown's line ends are as a checkout makes them: a text with other ones than newlines is YAML too.
    template: JsonValue = checked.model_dump(include={"template"})["template"]
    return YAML_SUFFIXES[0], write_yaml(fields | {"template": template}).encode()


def write_file(file: Path, content: bytes) -> bool:
    """Write a file and return whether it changed.

    A file that is there is replaced at once and whole, never written into or through.

    Raises:
        OSError: The folder takes no such file.
    """
    if file.is_file() and not file.is_symlink() and file.read_bytes() == content:
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as written:
            written.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(file)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return True


def _read_bytes(file: Path) -> bytes:
    if file.is_symlink() or not file.is_file():
        raise InvalidPromptFileError("Only plain files are read, no links")
    with file.open("rb") as opened:
        content = opened.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise InvalidPromptFileError(f"A file has at most {MAX_FILE_BYTES} bytes")
    return content


def _decode(content: bytes) -> str:
    problem = "The file is UTF-16 or UTF-32, not UTF-8"
    if not content.startswith(_WIDE):
        try:
            return content.decode().lstrip("\ufeff")
        except UnicodeDecodeError as error:
            problem = f"The file is not UTF-8: {error.reason} at byte {error.start}"
    raise InvalidPromptFileError(problem)


def _build(fields: Facts) -> PromptFile:
    try:
        return PromptFile.model_validate(fields)
    except PydanticError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
    told: list[str] = []
    for problem in problems[:_MOST_PROBLEMS]:
        where = ".".join(str(part) for part in problem["loc"] if part not in {"text", "messages"})
        told.append(f"{where}: {problem['msg']}")
    raise InvalidPromptFileError(f"The prompt is invalid: {'; '.join(told)}")
