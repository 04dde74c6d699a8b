"""Bring a folder into a deployment, or a deployment's prompts into a folder, file by file."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tenantry_client.errors import InvalidPromptFileError, TenantryError
from tenantry_client.prompts.files import (
    YAML_SUFFIXES,
    NoPromptFileError,
    format_prompt,
    is_yaml,
    read_prompt,
    write_file,
)
from tenantry_client.prompts.folder import FolderIndex, index_folder
from tenantry_client.prompts.models import MAX_CONTENT_BYTES, MOST_AT_ONCE
from tenantry_client.prompts.reports import FileOutcome, FileReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tenantry_client.prompts.deployment import Deployment
    from tenantry_client.prompts.models import PromptFile, RemotePrompt

type Step = Callable[[int, int], None]
"""Told how many of how many are done."""

_LABELS_AT_ONCE = 8
_ROOM_FOR_ONE = 1_000
"""Bytes for an item's ETag and reason."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """Options of an import.

    Attributes:
        label: Moved to the version that each file says.
        reason: Why, for each prompt's history.
        dry_run: Whether to tell what would be done, and do nothing.
    """

    label: str | None = None
    reason: str | None = None
    dry_run: bool = False


async def export_prompts(deployment: Deployment, folder: Path, step: Step) -> list[FileReport]:
    """Write each prompt of a deployment to a file: to its own where there is one, wherever that lies.

    A file that says the same already is left as it is; files that have no prompt are left alone.

    Raises:
        TenantryError: The deployment refused, or does not answer; or the folder has too many files.
        OSError: The folder cannot be read.
    """
    names = await deployment.names()
    index = index_folder(folder, may_be_missing=True)
    reports: list[FileReport] = []
    taken: dict[str, str] = {}
    for start in range(0, len(names), MOST_AT_ONCE):
        asked = names[start : start + MOST_AT_ONCE]
        found = await deployment.get(asked)
        for name in asked:
            if (prompt := found.prompts.get(name)) is not None:
                reports.append(_export(index, name, prompt, taken))
            elif name in found.failures:
                reports.append(FileReport(name[:200], FileOutcome.FAILED, found.failures[name]))
        step(start + len(asked), len(names))
    return reports


async def import_prompts(
    deployment: Deployment, folder: Path, step: Step, options: ImportOptions | None = None
) -> list[FileReport]:
    """Save each file whose prompt differs from the deployment's; prompts that have no file are left alone.

    A prompt that somebody changes meanwhile is not saved over.

    Raises:
        TenantryError: The deployment refused, or does not answer, before anything was done; or the folder has
            too many files.
        OSError: The folder cannot be read.
    """
    index = index_folder(folder)
    run = _Import(deployment, index, options or ImportOptions(), index.reports)
    total = len(index.files) + len(index.reports)
    step(len(run.reports), total)
    for part in _cut_parts(index, run.reports):
        try:
            await run.import_part(part)
        except TenantryError as error:
            if not run.has_changed:
                raise
            # What was done before is to be told.
            run.fail([file for file, _ in part], error.message)
        step(len(run.reports), total)
    return sorted(run.reports, key=lambda report: report.file)


type _Part = list[tuple[Path, PromptFile]]


@dataclass(frozen=True, slots=True)
class _Saved:
    """A version that says what a file says; `outcome` is None where it was there before."""

    file: Path
    name: str
    version: int
    outcome: FileOutcome | None = None


@dataclass(slots=True)
class _Import:
    """One import under way."""

    deployment: Deployment
    index: FolderIndex
    options: ImportOptions
    reports: list[FileReport]
    has_changed: bool = False
    _labels: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_LABELS_AT_ONCE))

    async def import_part(self, part: _Part) -> None:
        """Compare files with what is there, and save those that differ."""
        found = await self.deployment.get([prompt.name for _, prompt in part])
        changed: _Part = []
        same: list[tuple[Path, RemotePrompt]] = []
        for file, prompt in part:
            there = found.prompts.get(prompt.name)
            if prompt.name in found.failures:
                self.fail([file], found.failures[prompt.name])
            elif there is not None and prompt.same_as(there):
                same.append((file, there))
            else:
                changed.append((file, prompt))
        if self.options.dry_run:
            self._plan(changed, same, found.prompts)
            return
        saved = await self._save(changed, found.prompts) if changed else []
        saved += [_Saved(file, there.name, there.version) for file, there in same]
        await asyncio.gather(*(self._label(one) for one in saved if self._wants_label(one, found.prompts)))

    def fail(self, files: list[Path], message: str) -> None:
        """Tell that files were not done, unless that is told already."""
        told = {report.file for report in self.reports}
        labels = (self.index.label_of(file) for file in files)
        self.reports += [FileReport(one, FileOutcome.FAILED, message) for one in labels if one not in told]

    def _report(self, file: Path, outcome: FileOutcome, detail: str = "") -> None:
        self.reports.append(FileReport(self.index.label_of(file), outcome, detail))

    def _plan(
        self, changed: _Part, same: list[tuple[Path, RemotePrompt]], there: dict[str, RemotePrompt]
    ) -> None:
        label = self.options.label
        for file, prompt in changed:
            outcome = FileOutcome.UPDATED if prompt.name in there else FileOutcome.CREATED
            self._report(file, outcome, "would be" + (f", as {label}" if label else ""))
        for file, remote in same:
            if label and not remote.has_label(label):
                self._report(file, FileOutcome.LABELLED, f"would be: version {remote.version} as {label}")
            else:
                self._report(file, FileOutcome.UNCHANGED)

    async def _save(self, changed: _Part, there: dict[str, RemotePrompt]) -> list[_Saved]:
        etags = {name: prompt.etag for name, prompt in there.items()}
        items = [prompt.to_item(self.options.reason, etags.get(prompt.name)) for _, prompt in changed]
        results = await self.deployment.save(items)
        done: list[_Saved] = []
        for (file, prompt), result in zip(changed, results, strict=True):
            if result.failure is not None or result.version is None:
                message = result.failure.message if result.failure else "The deployment told no version"
                self._report(file, FileOutcome.FAILED, message)
                continue
            outcome = FileOutcome.UPDATED if prompt.name in there else FileOutcome.CREATED
            done.append(_Saved(file, prompt.name, result.version, outcome))
        self.has_changed = self.has_changed or bool(done)
        return done

    def _wants_label(self, saved: _Saved, there: dict[str, RemotePrompt]) -> bool:
        """Tell whether a label is to be moved; where not, report what was done."""
        label = self.options.label
        if label is not None and (saved.outcome or not there[saved.name].has_label(label)):
            return True
        if saved.outcome is None:
            self._report(saved.file, FileOutcome.UNCHANGED)
        else:
            self._report(saved.file, saved.outcome, f"version {saved.version}")
        return False

    async def _label(self, saved: _Saved) -> None:
        label, version = self.options.label or "", saved.version
        try:
            async with self._labels:
                await self.deployment.move_label(saved.name, label, version, self.options.reason)
        except TenantryError as error:
            detail = f"version {version} is there, but not as {label}: {error.message}"
            self._report(saved.file, FileOutcome.FAILED, detail)
        else:
            self.has_changed = True
            self._report(saved.file, saved.outcome or FileOutcome.LABELLED, f"version {version} as {label}")


def _cut_parts(index: FolderIndex, reports: list[FileReport]) -> Iterator[_Part]:
    """Read the prompts again, as many at a time as one request takes."""
    part: _Part = []
    size = 0
    for name, file in index.files.items():
        try:
            prompt = read_prompt(file)
        except (InvalidPromptFileError, NoPromptFileError, OSError) as error:
            reports.append(
                FileReport(index.label_of(file), FileOutcome.FAILED, f"changed meanwhile: {error}")
            )
            continue
        if prompt.name != name:
            reports.append(FileReport(index.label_of(file), FileOutcome.FAILED, "changed meanwhile"))
            continue
        weight = len(prompt.to_item()) + _ROOM_FOR_ONE
        if part and (len(part) == MOST_AT_ONCE or size + weight > MAX_CONTENT_BYTES):
            yield part
            part, size = [], 0
        part.append((file, prompt))
        size += weight
    if part:
        yield part


def _export(index: FolderIndex, name: str, prompt: RemotePrompt, taken: dict[str, str]) -> FileReport:
    try:
        suffix, content = format_prompt(prompt)
        own = index.files.get(name)
        if own is not None and read_prompt(own).same_as(prompt):
            return FileReport(index.label_of(own), FileOutcome.UNCHANGED)
        file = _choose_file(index, name, suffix, taken)
        outcome = FileOutcome.WRITTEN if write_file(file, content) else FileOutcome.UNCHANGED
    except (InvalidPromptFileError, NoPromptFileError, OSError, ValueError) as error:
        return FileReport(name[:200], FileOutcome.FAILED, str(error))
    return FileReport(index.label_of(file), outcome)


def _choose_file(index: FolderIndex, name: str, suffix: str, taken: dict[str, str]) -> Path:
    """Return the file that a prompt is written to: its own where that is of the same kind."""
    other = taken.setdefault(name.casefold(), name)
    if other != name:
        raise InvalidPromptFileError(f"some systems take its file for that of '{other}'")
    own = index.files.get(name)
    if own is not None and is_yaml(own) == (suffix in YAML_SUFFIXES):
        return own
    file = index.folder / f"{name}{suffix}"
    if os.path.lexists(file) and not file.is_symlink() and index.owners.get(file) != name:
        raise InvalidPromptFileError(f"{file.name} is there already, and is not this prompt's")
    return file
