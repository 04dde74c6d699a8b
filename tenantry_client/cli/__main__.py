"""`python -m tenantry_client.cli export|import DIR --url URL`: prompts between a folder and a deployment.

The key comes from `--key` or, better, from the variable TENANTRY_KEY. The exit code is 0 where every file is
done, 1 where some failed, 2 where nothing could be.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from shared.prompts.models import PromptSource
from tenantry_client.cli.deployment import Deployment, RefusedError
from tenantry_client.cli.transfer import FileReport, Outcome, export_prompts, import_prompts

if TYPE_CHECKING:
    from collections.abc import Sequence

_DONE, _SOME_FAILED, _NOTHING_DONE = 0, 1, 2
_COLOURS = {Outcome.FAILED: "red", Outcome.UNCHANGED: "dim", Outcome.SKIPPED: "yellow"}


def main(words: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    arguments = _parser().parse_args(words)
    console = Console(highlight=False)
    errors = Console(stderr=True, highlight=False)
    key = arguments.key or os.environ.get("TENANTRY_KEY")
    if not key:
        errors.print("A key is needed: --key, or the variable TENANTRY_KEY")
        return _NOTHING_DONE
    try:
        reports = asyncio.run(_transfer(arguments, key, errors))
    except RefusedError as error:
        errors.print(f"failed: {error}", style="red", markup=False)
        return _NOTHING_DONE
    except OSError as error:
        errors.print(f"failed: {arguments.folder}: {error.strerror}", style="red", markup=False)
        return _NOTHING_DONE
    _show(console, reports)
    return _SOME_FAILED if any(one.outcome is Outcome.FAILED for one in reports) else _DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tenantry_client.cli", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("action", choices=["export", "import"])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--url", required=True, help="the deployment, such as http://127.0.0.1:7071")
    parser.add_argument("--key", help="an API key; TENANTRY_KEY keeps it out of the shell's history")
    parser.add_argument("--tenant", help="the tenant to act for, with the administrator's key")
    parser.add_argument("--global", dest="everybodys", action="store_true", help="the global prompts")
    parser.add_argument("--reason", help="why, for each prompt's history")
    parser.add_argument("--dry-run", action="store_true", help="tell what an import would do")
    return parser


async def _transfer(arguments: argparse.Namespace, key: str, console: Console) -> list[FileReport]:
    if arguments.everybodys and arguments.tenant:
        raise RefusedError("--global and --tenant exclude each other")
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    if arguments.tenant:
        headers["x-tenant-id"] = arguments.tenant
    source = PromptSource.GLOBAL if arguments.everybodys else PromptSource.TENANT
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    async with httpx.AsyncClient(base_url=_checked(arguments.url), headers=headers) as client:
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(arguments.action, total=None)

            def step(done: int, total: int) -> None:
                progress.update(task, completed=done, total=total)

            deployment = Deployment(client, source)
            if arguments.action == "export":
                return await export_prompts(deployment, arguments.folder, step)
            return await import_prompts(
                deployment, arguments.folder, step, dry_run=arguments.dry_run, reason=arguments.reason
            )


def _checked(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise RefusedError(f"{text}: {error}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise RefusedError(f"{text}: a deployment's address begins with https:// or http://")
    return url


def _show(console: Console, reports: Sequence[FileReport]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for one in reports:
        # As texts, not as markup: names and reasons come from elsewhere.
        file, detail = (
            Text(told.encode(errors="backslashreplace").decode()) for told in (one.file, one.detail)
        )
        table.add_row(file, Text(one.outcome, _COLOURS.get(one.outcome, "green")), detail)
    console.print(table)
    counts = {outcome: sum(one.outcome is outcome for one in reports) for outcome in Outcome}
    console.print(
        ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count) or "no prompts"
    )


if __name__ == "__main__":
    sys.exit(main())
