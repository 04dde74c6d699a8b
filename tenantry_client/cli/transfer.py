"""Bring a folder into a deployment, or a deployment's prompts into a folder, file by file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from shared.errors import ValidationError
from shared.prompts.models import PromptDraft
from tenantry_client.cli.deployment import AT_ONCE, MAX_BODY_BYTES, item_of
from tenantry_client.cli.files import NoPromptFileError, files_in, read_prompt, write_prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pydantic import JsonValue

    from shared.prompts.models import NamedDraft
    from tenantry_client.cli.deployment import Deployment, RemotePrompt

type Step = Callable[[int, int], None]
"""Told how many of how many are done."""


class Outcome(StrEnum):
    """What became of a file."""

    CREATED = "created"
    UPDATED = "updated"
    WRITTEN = "written"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of one file, and why or as which version."""

    file: str
    outcome: Outcome
    detail: str = ""


async def export_prompts(deployment: Deployment, folder: Path, step: Step) -> list[FileReport]:
    """Write each prompt of a deployment to a file; files that have no prompt are left alone.

    Raises:
        RefusedError: The deployment refused, or does not answer.
    """
    names = await deployment.names()
    reports: list[FileReport] = []
    taken: dict[str, str] = {}
    for start in range(0, len(names), AT_ONCE):
        for prompt in await deployment.get(names[start : start + AT_ONCE]):
            other = taken.setdefault(prompt.name.casefold(), prompt.name)
            reports.append(
                _written(folder, prompt)
                if other == prompt.name
                else FileReport(
                    prompt.name, Outcome.FAILED, f"some systems take its file for that of '{other}'"
                )
            )
            step(len(reports), len(names))
    return reports


async def import_prompts(
    deployment: Deployment, folder: Path, step: Step, *, dry_run: bool = False, reason: str | None = None
) -> list[FileReport]:
    """Save each file whose prompt differs from the deployment's; prompts that have no file are left alone.

    A prompt that somebody changes meanwhile is not saved over.

    Args:
        deployment: Where to.
        folder: Where from.
        step: Told of the progress.
        dry_run: Whether to tell what would be done, and do nothing.
        reason: Why, for each prompt's history.

    Raises:
        RefusedError: The deployment refused, or does not answer; parts of the folder may be saved.
        OSError: The folder cannot be read.
    """
    reports: dict[str, FileReport] = {}
    drafts = _drafts(folder, reports)
    total = len(drafts) + len(reports)
    step(len(reports), total)
    for part in _parts(drafts):
        there = {prompt.name: prompt for prompt in await deployment.get([draft.name for _, draft in part])}
        changed: list[tuple[Path, NamedDraft]] = []
        for file, draft in part:
            prompt = there.get(draft.name)
            if prompt is not None and _same(draft, prompt):
                reports[file.name] = FileReport(file.name, Outcome.UNCHANGED)
            else:
                changed.append((file, draft))
        if dry_run:
            for file, draft in changed:
                outcome = Outcome.UPDATED if draft.name in there else Outcome.CREATED
                reports[file.name] = FileReport(file.name, outcome, "would be")
        elif changed:
            await _save(deployment, changed, there, reason, reports)
        step(len(reports), total)
    return [reports[name] for name in sorted(reports)]


async def _save(
    deployment: Deployment,
    changed: Sequence[tuple[Path, NamedDraft]],
    there: dict[str, RemotePrompt],
    reason: str | None,
    reports: dict[str, FileReport],
) -> None:
    drafts = [
        draft.model_copy(
            update={
                "if_match": there[draft.name].etag if draft.name in there else None,
                "reason": reason or draft.reason,
            }
        )
        for _, draft in changed
    ]
    for (file, draft), saved in zip(changed, await deployment.save(drafts), strict=True):
        if saved.failure is not None:
            reports[file.name] = FileReport(file.name, Outcome.FAILED, saved.failure.message)
        else:
            outcome = Outcome.UPDATED if draft.name in there else Outcome.CREATED
            reports[file.name] = FileReport(file.name, outcome, f"version {saved.version}")


def _drafts(folder: Path, reports: dict[str, FileReport]) -> list[tuple[Path, NamedDraft]]:
    """Read the folder; what cannot be read is reported."""
    found: dict[str, list[tuple[Path, NamedDraft]]] = {}
    for file in files_in(folder):
        try:
            draft = read_prompt(file)
        except NoPromptFileError as error:
            reports[file.name] = FileReport(file.name, Outcome.SKIPPED, str(error))
        except ValidationError as error:
            reports[file.name] = FileReport(file.name, Outcome.FAILED, error.message)
        except OSError as error:
            reports[file.name] = FileReport(file.name, Outcome.FAILED, error.strerror or str(error))
        else:
            found.setdefault(draft.name, []).append((file, draft))
    drafts: list[tuple[Path, NamedDraft]] = []
    for name, same in found.items():
        if len(same) == 1:
            drafts += same
            continue
        # Nobody can tell which one is meant: an export may have left the older one beside its own.
        for file, _ in same:
            others = ", ".join(other.name for other, _ in same if other != file)
            reports[file.name] = FileReport(file.name, Outcome.FAILED, f"'{name}' is in {others} too")
    return drafts


def _parts(drafts: Sequence[tuple[Path, NamedDraft]]) -> Iterator[list[tuple[Path, NamedDraft]]]:
    """Cut a folder into requests that a deployment takes."""
    part: list[tuple[Path, NamedDraft]] = []
    size = 0
    for file, draft in drafts:
        weight = len(item_of(draft)) + 1_000
        if part and (len(part) == AT_ONCE or size + weight > MAX_BODY_BYTES):
            yield part
            part, size = [], 0
        part.append((file, draft))
        size += weight
    if part:
        yield part


def _same(draft: NamedDraft, prompt: RemotePrompt) -> bool:
    fields = set(PromptDraft.model_fields) - {"reason"}
    try:
        there = prompt.draft
    except ValidationError:  # what this release cannot even say, no file of it says
        return False
    return draft.model_dump(include=fields) == there.model_dump(include=fields) and (
        _booleans(draft.config) == _booleans(there.config)
    )


def _booleans(value: JsonValue) -> object:
    """Tell where booleans are: to Python they equal numbers."""
    if isinstance(value, dict):
        return {name: _booleans(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_booleans(inner) for inner in value]
    return isinstance(value, bool)


def _written(folder: Path, prompt: RemotePrompt) -> FileReport:
    try:
        file, changed = write_prompt(folder, prompt.name, prompt.draft)
    except ValidationError as error:
        return FileReport(prompt.name[:200], Outcome.FAILED, error.message)
    except (OSError, UnicodeEncodeError) as error:
        return FileReport(prompt.name, Outcome.FAILED, str(error))
    return FileReport(file.name, Outcome.WRITTEN if changed else Outcome.UNCHANGED)
