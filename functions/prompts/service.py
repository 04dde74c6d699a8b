"""Save, show, label and render a tenant's prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.prompts.models import (
    PromptChange,
    PromptDiffReply,
    PromptLabelsReply,
    PromptReply,
    PromptSummaryReply,
    PromptVersionSummary,
    RenderedPromptReply,
)
from shared.errors import ValidationError
from shared.http.paging import ListReply, cut_page
from shared.http.route import Answered
from shared.prompts.diff import diff_versions
from shared.prompts.edits import DeletePrompt, MoveLabel, PromptEdit, RemoveLabel, RestorePrompt
from shared.prompts.rendering import render_prompt
from shared.prompts.store import HeadFilter
from shared.prompts.templates import places_to_fill, warnings_of

if TYPE_CHECKING:
    from functions.prompts.models import (
        ChangeQuery,
        DiffQuery,
        MoveLabelRequest,
        NumberedPageQuery,
        PromptPageQuery,
        PromptQuery,
        RenderPromptRequest,
        SavePromptRequest,
    )
    from shared.prompts.library import Prompts
    from shared.prompts.stored_models import ChangeRecord, Prompt, PromptSummary, VersionSummary
    from shared.tenancy.source import Source


class PromptService:
    """The prompts of one caller."""

    def __init__(self, prompts: Prompts) -> None:
        self._prompts = prompts

    async def save(
        self, name: str, request: SavePromptRequest, source: Source, if_match: str | None
    ) -> PromptReply:
        """Store the next version.

        Raises:
            PreconditionFailedError: The prompt is not in the state that `if_match` names.
        """
        return prompt_reply(await self._prompts.save(name, request, if_match, source))

    async def read(self, name: str, query: PromptQuery) -> Answered[PromptReply]:
        """Return the latest version, or the one that is asked for, and how old the knowledge of it is.

        Raises:
            PromptNotFoundError: There is none.
        """
        prompt = await self._prompts.read(name, _which(query), query.scope, fresh=query.fresh)
        return Answered(prompt_reply(prompt), headers=_age(prompt))

    async def delete(self, name: str, query: ChangeQuery, if_match: str | None) -> None:
        """Take a prompt out of use.

        Raises:
            PromptNotFoundError: There is none.
        """
        await self._prompts.apply(PromptEdit(name, DeletePrompt(), if_match, query.reason), query.scope)

    async def restore(self, name: str, query: ChangeQuery, if_match: str | None) -> PromptSummaryReply:
        """Take a deleted prompt into use again.

        Raises:
            PromptNotFoundError: There is none.
            ConflictError: It is in use.
        """
        edit = PromptEdit(name, RestorePrompt(), if_match, query.reason)
        return _summary(await self._prompts.apply(edit, query.scope), query.scope)

    async def list(self, query: PromptPageQuery) -> ListReply[PromptSummaryReply]:
        """Return one page of prompts, by name."""
        only = HeadFilter(query.prefix, query.tag, query.deleted)
        found = await self._prompts.list(query.scope, query.cursor, query.fetch_limit, only)
        page = cut_page(found, query.limit, lambda head: head.name)
        return ListReply[PromptSummaryReply].of(page, lambda head: _summary(head, query.scope))

    async def versions(self, name: str, query: NumberedPageQuery) -> ListReply[PromptVersionSummary]:
        """Return one page of a prompt's versions, the newest first.

        Raises:
            PromptNotFoundError: There is no such prompt.
        """
        before = _number(query.cursor)
        head, found = await self._prompts.versions(name, query.scope, before, query.fetch_limit)
        page = cut_page(found, query.limit, lambda one: str(one.version))
        return ListReply[PromptVersionSummary].of(page, lambda one: _version_summary(one, head))

    async def history(self, name: str, query: NumberedPageQuery) -> ListReply[PromptChange]:
        """Return one page of a prompt's changes, the last first; of a deleted one too.

        Raises:
            PromptNotFoundError: There is no such prompt.
        """
        before = _number(query.cursor)
        found = await self._prompts.history(name, query.scope, before, query.fetch_limit)
        page = cut_page(found, query.limit, lambda item: str(item.change.number))
        return ListReply[PromptChange].of(page, lambda item: _change(item.change))

    async def labels(self, name: str, source: Source | None) -> PromptLabelsReply:
        """Return where each label points.

        Raises:
            PromptNotFoundError: There is no such prompt.
        """
        return _labels((await self._prompts.read(name, source=source)).head)

    async def move_label(
        self,
        at: tuple[str, str],
        request: MoveLabelRequest,
        source: Source,
        if_match: str | None,
    ) -> PromptLabelsReply:
        """Point a label at a version; `at` is the prompt's name and the label.

        Raises:
            PromptNotFoundError: There is no such prompt, or no such version.
            PreconditionFailedError: The prompt is not in the state that `if_match` names.
        """
        name, label = at
        edit = PromptEdit(name, MoveLabel(label, request.version), if_match, request.reason)
        return _labels(await self._prompts.apply(edit, source))

    async def remove_label(self, name: str, label: str, query: ChangeQuery, if_match: str | None) -> None:
        """Take a label away.

        Raises:
            PromptNotFoundError: There is no such prompt, or no such label.
        """
        await self._prompts.apply(PromptEdit(name, RemoveLabel(label), if_match, query.reason), query.scope)

    async def diff(self, name: str, query: DiffQuery) -> PromptDiffReply:
        """Compare two versions.

        Raises:
            PromptNotFoundError: There is no such prompt, or no such version or label.
            ValidationError: The versions are too long to compare.
        """
        new = await self._prompts.read(name, _number_or_label(query.to), query.scope)
        before = new.version.version - 1 if query.from_ is None else _number_or_label(query.from_)
        old = (await self._prompts.read(name, before, new.source)).version if before else None
        diff = await diff_versions(old, new.version)
        return PromptDiffReply(
            name=name,
            from_version=old.version if old else 0,
            to_version=new.version.version,
            changed=list(diff.changed),
            diff=diff.text,
        )

    async def render(
        self, name: str, query: PromptQuery, request: RenderPromptRequest
    ) -> Answered[RenderedPromptReply]:
        """Fill in a version, the latest where none is named.

        Raises:
            PromptNotFoundError: There is none.
            ValidationError: The variables do not fit.
        """
        prompt = await self._prompts.read(name, _which(query), query.scope, fresh=query.fresh)
        rendered = render_prompt(prompt.content, request.variables, request.messages)
        reply = RenderedPromptReply(
            text=rendered.text,
            messages=None if rendered.messages is None else list(rendered.messages),
            version=prompt.version.version,
            source=prompt.source,
            config=prompt.content.config,
        )
        return Answered(reply, headers=_age(prompt))


def _age(prompt: Prompt) -> dict[str, str]:
    """Show for how long this may have been outdated (RFC 9111, 5.1)."""
    return {"age": str(int(prompt.age_seconds))}


def _which(query: PromptQuery) -> int | str | None:
    if query.version is not None and query.label is not None:
        problem = "one of version and label"
        raise ValidationError(f"Name {problem}", {"fields": {"query.label": problem}})
    return query.version or query.label


def _change(change: ChangeRecord) -> PromptChange:
    return PromptChange(
        number=change.number,
        action=change.action,
        version=change.version,
        label=change.label,
        labels_removed=change.labels_removed or {},
        reason=change.reason,
        at=change.at,
        by=change.by,
    )


def _number(cursor: str | None) -> int | None:
    return None if cursor is None else int(cursor)


def _number_or_label(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _labels_at(head: PromptSummary, version: int) -> dict[str, int]:
    return {label: number for label, number in head.all_labels.items() if number == version}


def _version_summary(version: VersionSummary, head: PromptSummary) -> PromptVersionSummary:
    return PromptVersionSummary(
        version=version.version,
        labels=_labels_at(head, version.version),
        description=version.description,
        tags=list(version.tags),
        reason=version.change.reason,
        created_at=version.change.at,
        created_by=version.change.by,
    )


def _labels(head: PromptSummary) -> PromptLabelsReply:
    return PromptLabelsReply(name=head.name, labels=head.all_labels, etag=head.etag)


def _summary(head: PromptSummary, source: Source) -> PromptSummaryReply:
    return PromptSummaryReply(
        name=head.name,
        version=head.version,
        labels=head.all_labels,
        source=source,
        description=head.description,
        tags=list(head.tags),
        updated_at=head.change.at,
        updated_by=head.change.by,
        etag=head.etag,
    )


def prompt_reply(prompt: Prompt) -> PromptReply:
    """Render a version of a prompt."""
    version, content = prompt.version, prompt.content
    said = {name: getattr(content, name) for name in ("template", "config", "declared_variables", "examples")}
    return PromptReply.model_validate(
        {
            **said,
            "name": version.name,
            "version": version.version,
            "labels": prompt.labels,
            "source": prompt.source,
            "description": version.description,
            "tags": version.tags,
            "variables": places_to_fill(content).variables,
            "placeholders": content.placeholders,
            "warnings": warnings_of(content.template),
            "reason": version.change.reason,
            "updated_at": version.change.at,
            "updated_by": version.change.by,
            "etag": prompt.head.etag,
        }
    )
