"""Differences between two versions of a prompt."""

from __future__ import annotations

import asyncio
import difflib
import json
from typing import TYPE_CHECKING, NamedTuple

from shared.errors import ValidationError
from shared.prompts.stored_models import StoredMessage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.prompts.stored_models import PromptVersion

MAX_LINES = 2_000
"""Comparing takes time that grows with the square of the lines."""


class PromptDiff(NamedTuple):
    """Fields that differ, and a unified diff over all that a version says, empty where nothing does."""

    changed: tuple[str, ...]
    text: str


async def diff_versions(old: PromptVersion | None, new: PromptVersion) -> PromptDiff:
    """Compare a version with another, or with nothing, beside the event loop.

    Raises:
        ValidationError: One of them has too many lines.
    """
    before, after = {} if old is None else _sections(old), _sections(new)
    changed = tuple(name for name in after if before.get(name, []) != after[name])
    old_lines, new_lines = list(_lines(before)), list(_lines(after))
    if max(len(old_lines), len(new_lines)) > MAX_LINES:
        raise ValidationError(
            f"Only versions of up to {MAX_LINES} lines are compared",
            {"name": new.name, "max_lines": MAX_LINES},
        )
    names = f"version {0 if old is None else old.version}", f"version {new.version}"
    diff = await asyncio.to_thread(
        lambda: list(difflib.unified_diff(old_lines, new_lines, *names, lineterm=""))
    )
    return PromptDiff(changed, "\n".join(diff))


def _sections(version: PromptVersion) -> dict[str, list[str]]:
    content = version.content
    template: list[str] = []
    if isinstance(content.template, str):
        template = content.template.split("\n")
    else:
        for part in content.template:
            if isinstance(part, StoredMessage):
                template += [f"[{part.role}]", *part.content.split("\n")]
            else:
                template += [f"[placeholder {part.placeholder}]"]
    return {
        "template": template,
        "config": _json(content.config),
        "examples": _json([one.model_dump() for one in content.examples]),
        "declared_variables": _json({n: d.model_dump() for n, d in content.declared_variables.items()}),
        "description": version.description.split("\n") if version.description else [],
        "tags": list(version.tags),
    }


def _json(value: object) -> list[str]:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).split("\n") if value else []


def _lines(sections: dict[str, list[str]]) -> Iterator[str]:
    for name, lines in sections.items():
        if name == "template" or any(lines):
            yield f"# {name}"
            yield from lines
