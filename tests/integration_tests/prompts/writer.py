"""An instance of the app's prompts in a process of its own, whose callers all save one prompt at once.

`python -m tests.integration_tests.prompts.writer ADDRESS NAME WRITERS [--if-match ETAG]` waits for a line on
stdin, then prints what each of its writers was told, as JSON: its text, and the version or the refusal.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from local.supervisor.addresses import COSMOS_KEY
from shared.clock import SystemClock
from shared.cosmos.sdk import SdkContainer, classify, open_client
from shared.errors import APIError
from shared.prompts.models import PromptDraft
from shared.resilience.dependency import Dependency
from tests.support.fakes import tenant_context
from tests.unit_tests.prompts.library import library_over

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.prompts.library import Prompts

ACME = tenant_context("acme")
NAME = "p"
READY = "ready"


@asynccontextmanager
async def prompts_at(address: str) -> AsyncIterator[Prompts]:
    """Open a tenant's prompts with a client, connections and a cache of their own."""
    async with open_client(address, COSMOS_KEY) as client:
        proxy = client.get_database_client("tenantry").get_container_client("prompts")
        library = library_over(SdkContainer(proxy, Dependency("Cosmos DB", classify)), SystemClock())
        yield library.of(ACME)
        await library.close()


async def told(prompts: Prompts, text: str, if_match: str | None) -> dict[str, object]:
    """Save once, and return what the writer is told."""
    try:
        saved = await prompts.save(NAME, PromptDraft(template=text), if_match)
    except APIError as refusal:
        return {"text": text, "refused": refusal.status}
    return {"text": text, "version": saved.version.version}


async def _run(arguments: argparse.Namespace) -> None:
    async with prompts_at(arguments.address) as prompts:
        print(READY, flush=True)  # noqa: T201  # the test waits for it
        sys.stdin.readline()
        texts = [f"{arguments.name} {number}" for number in range(arguments.writers)]
        for answer in await asyncio.gather(*(told(prompts, text, arguments.if_match) for text in texts)):
            print(json.dumps(answer), flush=True)  # noqa: T201  # the test reads it


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("name")
    parser.add_argument("writers", type=int)
    parser.add_argument("--if-match")
    asyncio.run(_run(parser.parse_args()))
