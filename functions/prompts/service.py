"""Save, show and render a tenant's prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.prompts.models import PromptListReply, PromptReply, RenderedPromptReply
from shared.prompts.rendering import variables_of
from shared.prompts.store import PromptDraft, PromptItem, PromptStore

if TYPE_CHECKING:
    from functions.prompts.models import PromptPage, RenderPromptRequest, SavePromptRequest
    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext


class PromptService:
    """The prompts of one tenant."""

    def __init__(self, tenant: TenantContext, container: Container, clock: Clock) -> None:
        self._prompts = PromptStore(tenant, container, clock)

    async def save(self, name: str, request: SavePromptRequest, if_match: str | None) -> PromptReply:
        """Store the next version.

        Raises:
            PreconditionFailedError: The prompt is not in the state that `if_match` names.
        """
        draft = PromptDraft(request.template, request.description, tuple(request.tags))
        return _reply(await self._prompts.save(name, draft, if_match))

    async def read(self, name: str, version: int | None) -> PromptReply:
        """Return the latest version, or the given one.

        Raises:
            PromptNotFoundError: There is none.
        """
        return _reply(await self._prompts.read(name, version))

    async def list(self, page: PromptPage) -> PromptListReply:
        """Return one page of prompts, by name."""
        found = await self._prompts.list(page.cursor, page.limit + 1)
        shown = found[: page.limit]
        return PromptListReply(
            items=[_reply(prompt) for prompt in shown],
            next_cursor=shown[-1].name if len(found) > page.limit else None,
        )

    async def render(self, name: str, request: RenderPromptRequest) -> RenderedPromptReply:
        """Fill in the latest version.

        Raises:
            PromptNotFoundError: There is none.
            ValidationError: The variables do not fit.
        """
        return RenderedPromptReply(text=await self._prompts.resolve(name, request.variables))


def _reply(prompt: PromptItem) -> PromptReply:
    is_head = prompt.kind == "head"
    return PromptReply(
        name=prompt.name,
        template=prompt.template,
        version=prompt.version,
        labels={"latest": prompt.version} if is_head else {},
        source="tenant",
        description=prompt.description,
        tags=list(prompt.tags),
        variables=variables_of(prompt.template),
        updated_at=prompt.updated_at,
        updated_by=prompt.updated_by,
        etag=prompt.etag if is_head else None,
    )
