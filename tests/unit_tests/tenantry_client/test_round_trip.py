"""Files in every form, encoding and line ending are imported or refused by name, and nothing is lost."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from tenantry_client.prompts.files import read_prompt
from tenantry_client.prompts.folder import index_folder
from tenantry_client.prompts.transfer import export_prompts, import_prompts
from tests.support.soak import SOAK, sized
from tests.unit_tests.tenantry_client.prompts import FileGenerator, GeneratedFile
from tests.unit_tests.tenantry_client.wire import wired

if TYPE_CHECKING:
    from pathlib import Path

    from tenantry_client.prompts.reports import FileReport

FILES = 10_000 if SOAK else 200


def ignored(_done: int, _total: int) -> None:
    """Nobody watches."""


def generate(folder: Path) -> dict[str, GeneratedFile]:
    seed = time.time_ns() if SOAK else 11
    print("seed", seed)  # noqa: T201  # to repeat a soak
    generator = FileGenerator(random.Random(seed))  # noqa: S311  # repeats the same run
    files = {file.path: file for file in (generator.make() for _ in range(FILES))}
    for path, file in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(file.content)
    return files


def outcomes(reports: list[FileReport]) -> dict[str, str]:
    return {report.file: report.outcome.value for report in reports}


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@sized(120)
async def test_no_file_is_skipped_and_the_round_trip_loses_nothing(tmp_path: Path) -> None:
    files = generate(tmp_path / "in")
    async with wired() as wire:
        imported = outcomes(await import_prompts(wire.deployment(), tmp_path / "in", ignored))
        again = outcomes(await import_prompts(wire.deployment(), tmp_path / "in", ignored))
        in_place = outcomes(await export_prompts(wire.deployment(), tmp_path / "in", ignored))
        await export_prompts(wire.deployment(), tmp_path / "out", ignored)
    async with wired() as elsewhere:
        moved = outcomes(await import_prompts(elsewhere.deployment(), tmp_path / "out", ignored))
        await export_prompts(elsewhere.deployment(), tmp_path / "back", ignored)

    good = {path: file.prompt for path, file in files.items() if file.prompt is not None}
    assert imported == {path: "created" if path in good else "failed" for path in files}
    assert again == {path: "unchanged" if path in good else "failed" for path in files}
    assert in_place == dict.fromkeys(good, "unchanged")
    assert set(moved.values()) == {"created"}
    exported = {name: read_prompt(file) for name, file in index_folder(tmp_path / "out").files.items()}
    assert len(exported) == len(good)
    for prompt in good.values():
        assert exported[prompt.name].same_as(prompt)
    assert contents(tmp_path / "out") == contents(tmp_path / "back")
    print(f"{len(good)} imported and back, {len(files) - len(good)} refused by name")  # noqa: T201  # the sum
