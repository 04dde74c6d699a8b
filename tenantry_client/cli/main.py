"""The command `tenantry prompts import|export DIR`: prompts between a folder and a deployment.

The key comes from the variable TENANTRY_KEY, or `--key`; the address from TENANTRY_URL, or `--url`. The exit
code is 0 where every file is done, 1 where some failed, 2 where nothing could be.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from tenantry_client.cli.output import ProgressLine, print_error, print_reports
from tenantry_client.errors import TenantryError
from tenantry_client.http.credentials import FixedKey
from tenantry_client.http.service import HttpService
from tenantry_client.prompts.deployment import MOST_ANSWER_BYTES, TIMES, Deployment
from tenantry_client.prompts.models import LABEL_PATTERN
from tenantry_client.prompts.reports import FileOutcome
from tenantry_client.prompts.transfer import ImportOptions, export_prompts, import_prompts
from tenantry_client.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tenantry_client.prompts.reports import FileReport

_DONE, _SOME_FAILED, _NOTHING_DONE, _INTERRUPTED = 0, 1, 2, 130
_LONGEST_REASON = 500


def main(words: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = _build_parser().parse_args(words)
    try:
        reports = asyncio.run(_transfer(arguments))
    except TenantryError as error:
        print_error(f"failed: {error.message}")
        return _NOTHING_DONE
    except OSError as error:
        print_error(f"failed: {error.filename or arguments.folder}: {error.strerror or error}")
        return _NOTHING_DONE
    except KeyboardInterrupt:
        print_error("interrupted: run it again, what was done stays done")
        return _INTERRUPTED
    print_reports(reports)
    return _SOME_FAILED if any(one.outcome is FileOutcome.FAILED for one in reports) else _DONE


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tenantry", description="Work with a Tenantry deployment.")
    parser.add_argument("--version", action="version", version=f"tenantry {VERSION}")
    things = parser.add_subparsers(dest="thing", required=True, metavar="prompts")
    prompts = things.add_parser("prompts", help="prompts as files").add_subparsers(
        dest="action", required=True, metavar="import|export"
    )
    imported = prompts.add_parser("import", help="save each file that differs, as a new version")
    imported.add_argument("--label", type=_check_label, help="move this label to what each file says")
    imported.add_argument("--reason", type=_check_reason, help="why, for each prompt's history")
    imported.add_argument("--dry-run", action="store_true", help="tell what would be done, and do nothing")
    exported = prompts.add_parser("export", help="write each prompt to a file")
    for command in (imported, exported):
        command.add_argument("folder", type=Path, metavar="DIR")
        command.add_argument("--url", help="the deployment, such as http://127.0.0.1:7071; or TENANTRY_URL")
        command.add_argument("--key", help="an API key; TENANTRY_KEY keeps it out of the shell's history")
        whose = command.add_mutually_exclusive_group()
        whose.add_argument("--tenant", type=_check_tenant, help="act for it, with the administrator's key")
        whose.add_argument("--global", dest="is_global", action="store_true", help="the global prompts")
    return parser


async def _transfer(arguments: argparse.Namespace) -> list[FileReport]:
    service = _open_service(arguments)
    deployment = Deployment(
        service,
        "global" if arguments.is_global else "tenant",
        {"x-tenant-id": arguments.tenant} if arguments.tenant else None,
    )
    await service.open()
    try:
        with ProgressLine(arguments.action) as progress:
            if arguments.action == "export":
                return await export_prompts(deployment, arguments.folder, progress.show)
            options = ImportOptions(arguments.label, arguments.reason, arguments.dry_run)
            return await import_prompts(deployment, arguments.folder, progress.show, options)
    finally:
        await service.close()


def _open_service(arguments: argparse.Namespace) -> HttpService:
    from tenantry_client.http.aiohttp_sender import AiohttpSender, find_proxy  # noqa: PLC0415  # loads when used

    url = arguments.url or os.environ.get("TENANTRY_URL")
    key = arguments.key or os.environ.get("TENANTRY_KEY")
    missing = [named for named, value in (("url", url), ("key", key)) if not value]
    if not url or not key:
        options = " and ".join(f"--{name} or the variable TENANTRY_{name.upper()}" for name in missing)
        raise TenantryError(f"needed: {options}")
    try:
        sender = AiohttpSender(MOST_ANSWER_BYTES, find_proxy(url))
        return HttpService(url, FixedKey(key), sender, TIMES)
    except ValueError:
        pass
    raise TenantryError(f"{url}: a deployment's address begins with https:// or http://")


def _check_label(text: str) -> str:
    if not re.fullmatch(LABEL_PATTERN, text):
        raise argparse.ArgumentTypeError(f"a label matches {LABEL_PATTERN}")
    return text


def _check_tenant(text: str) -> str:
    if not text.isascii() or not text.isprintable() or not text.strip():
        raise argparse.ArgumentTypeError("no tenant has such an id")
    return text


def _check_reason(text: str) -> str:
    if len(text) > _LONGEST_REASON:
        raise argparse.ArgumentTypeError(f"a reason has at most {_LONGEST_REASON} characters")
    return text
