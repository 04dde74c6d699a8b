"""Tenants who own something everywhere, by what infra says there is: a new container is in here by itself."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.cosmos.container import Query
from tests.support.whole_app import SharedStart, WholeApp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

INFRA = Path(__file__).parents[3] / "infra"
KEY_LEVELS: dict[str, tuple[str, ...]] = {
    container["id"]: tuple(path.removeprefix("/") for path in container["partitionKey"]["paths"])
    for container in json.loads((INFRA / "cosmos.json").read_text())["containers"]
}
"""The levels of each container's partition key, the tenant's first."""

BLOB_CONTAINERS: tuple[str, ...] = tuple(json.loads((INFRA / "storage.json").read_text())["containers"])
OWNED_SECRET = "what-only-the-owner-may-know"  # noqa: S105  # nobody's password


async def fill(app: WholeApp, tenant_id: str, items: int = 2, places: Collection[str] = KEY_LEVELS) -> None:
    """Give a tenant items in every container, in partitions of their own where keys have lower levels."""
    for name in places:
        levels = KEY_LEVELS[name]
        container = app.cosmos.container(name)
        for number in range(items):
            body: dict[str, Any] = {"id": f"item-{number:04}", "words": OWNED_SECRET}
            body |= {level: f"{level}-{number % 2}" for level in levels if level not in body}
            body |= {"tenant_id": tenant_id}
            await container.create(tuple(str(body[level]) for level in levels), body)
    for number in range(items):
        app.blobs[f"{tenant_id}/2026-01-31/file-{number}.jsonl"] = OWNED_SECRET.encode()


@cache
def _owners_of(items: int) -> SharedStart[None]:
    async def prepare(app: WholeApp) -> None:
        for tenant_id in ("acme", "acme-eu"):
            await app.new_tenant(tenant_id)
            await fill(app, tenant_id, items)

    return SharedStart(prepare)


@asynccontextmanager
async def world(items: int = 2) -> AsyncIterator[WholeApp]:
    """Open the app with two tenants that own something everywhere; the id of one begins with the other's."""
    async with _owners_of(items).open() as (app, _):
        yield app


async def everything(app: WholeApp, tenant_id: str) -> dict[str, list[Any]]:
    """Read all that a tenant owns, past the app."""
    found: dict[str, list[Any]] = {}
    for name in KEY_LEVELS:
        query = Query("SELECT VALUE c FROM c", {}, 10_000)
        items = await app.cosmos.container(name).query((tenant_id,), query)
        found[name] = sorted(items, key=lambda item: str(sorted(item.items())))
    found["blobs"] = sorted(pair for pair in app.blobs.items() if pair[0].startswith(f"{tenant_id}/"))
    return found


async def split(app: WholeApp, tenant_id: str) -> None:
    """Split what a tenant has into two physical partitions, in every container that allows it."""
    for name, items in (await everything(app, tenant_id)).items():
        levels = KEY_LEVELS.get(name, ())
        if len(levels) > 1:
            app.cosmos.split(name, {tuple(str(item[level]) for level in levels) for item in items})


def nothing() -> dict[str, list[Any]]:
    """What is left of a tenant after its purge."""
    return {name: [] for name in (*KEY_LEVELS, "blobs")}
