"""Save, show and render a tenant's prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.prompts.models import PromptListReply, PromptReply, RenderedPromptReply
from shared.prompts.rendering import render, variables_of
from shared.prompts.store import PromptDraft, PromptStore

if TYPE_CHECKING:
    from functions.prompts.models import PromptPage, RenderPromptRequest, SavePromptRequest
    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.prompts.store import Prompt
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
            next_cursor=shown[-1].head.name if len(found) > page.limit else None,
        )

    async def render(self, name: str, request: RenderPromptRequest) -> RenderedPromptReply:
        """Fill in the latest version.

        Raises:
            PromptNotFoundError: There is none.
            ValidationError: The variables do not fit.
        """
        prompt = await self._prompts.read(name)
        return RenderedPromptReply(text=render(prompt.content.template, request.variables))


def _reply(prompt: Prompt) -> PromptReply:
    content = prompt.content
    return PromptReply(
        name=content.name,
        template=content.template,
        version=content.version,
        labels=prompt.labels,
        source="tenant",
        description=content.description,
        tags=list(content.tags),
        variables=variables_of(content.template),
        updated_at=content.updated_at,
        updated_by=content.updated_by,
        etag=prompt.head.etag,
    )
