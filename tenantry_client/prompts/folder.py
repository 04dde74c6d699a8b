"""A folder of prompt files: each file in it is found, and told of."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tenantry_client.errors import InvalidPromptFileError, TenantryError
from tenantry_client.prompts.files import NoPromptFileError, has_prompt_suffix, read_prompt
from tenantry_client.prompts.reports import FileOutcome, FileReport

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FILES = 20_000
MAX_FOLDER_LEVELS = 20


class FolderTooLargeError(TenantryError):
    """A folder with more files or levels than are read; a wrong one, most likely."""


@dataclass(frozen=True, slots=True)
class FolderIndex:
    """The prompts of a folder, and what is to be told of its other files.

    Attributes:
        files: Each prompt's file by the prompt's name.
        owners: The name in each file, also where several have the same.
        reports: What became of the files that are no prompt's, or not clearly.
    """

    folder: Path
    files: dict[str, Path] = field(default_factory=dict)
    owners: dict[Path, str] = field(default_factory=dict)
    reports: list[FileReport] = field(default_factory=list)

    def label_of(self, file: Path) -> str:
        """Return how a file is called in reports: by its path below the folder."""
        return file.relative_to(self.folder).as_posix()


def index_folder(folder: Path, *, may_be_missing: bool = False) -> FolderIndex:
    """Read each file of a folder, and of those below it; only the names are kept.

    Hidden files and folders, links and files of other kinds are told of and left alone.

    Raises:
        FolderTooLargeError: It has more files or levels than are read.
        OSError: It cannot be read.
    """
    found: dict[str, list[Path]] = {}
    index = FolderIndex(folder)
    if may_be_missing and not folder.exists():
        return index
    for file, skipped in _walk(folder):
        label = index.label_of(file)
        if skipped:
            index.reports.append(FileReport(label, FileOutcome.SKIPPED, skipped))
            continue
        try:
            name = index.owners[file] = read_prompt(file).name
            found.setdefault(name, []).append(file)
        except NoPromptFileError as error:
            index.reports.append(FileReport(label, FileOutcome.SKIPPED, str(error)))
        except InvalidPromptFileError as error:
            index.reports.append(FileReport(label, FileOutcome.FAILED, error.message))
        except OSError as error:
            index.reports.append(FileReport(label, FileOutcome.FAILED, error.strerror or str(error)))
    for name, files in found.items():
        if len(files) == 1:
            index.files[name] = files[0]
            continue
        # Nobody can tell which one is meant: an export may have left the older one beside its own.
        labels = [index.label_of(file) for file in files]
        for label in labels:
            others = ", ".join(other for other in labels if other != label)
            index.reports.append(FileReport(label, FileOutcome.FAILED, f"'{name}' is in {others} too"))
    return index


def _walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file, in order, with the reason to skip it, if there is one."""
    count = 0
    levels: list[Iterator[os.DirEntry[str]]] = [_entries(folder)]
    while levels:
        entry = next(levels[-1], None)
        if entry is None:
            levels.pop()
            continue
        count += 1
        if count > MAX_FILES:
            raise FolderTooLargeError(f"{folder} has more than {MAX_FILES} files")
        skipped = _reason_to_skip(entry)
        if skipped or not entry.is_dir():
            yield Path(entry.path), skipped
            continue
        levels.append(_entries(Path(entry.path)))
        if len(levels) > MAX_FOLDER_LEVELS:
            raise FolderTooLargeError(f"{folder} has more than {MAX_FOLDER_LEVELS} levels of folders")


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as scanned:
        return iter(sorted(scanned, key=lambda entry: entry.name))


def _reason_to_skip(entry: os.DirEntry[str]) -> str:
    if entry.name.startswith("."):
        return "hidden"
    if entry.is_dir():
        return "a link to a folder is not followed" if entry.is_symlink() else ""
    return "" if has_prompt_suffix(entry.name) else "no .md, .markdown, .yaml or .yml file"
