"""Bind the routes of prompts."""

from typing import TYPE_CHECKING

import azure.functions as func

from functions.prompts.batch_service import PromptBatchService
from functions.prompts.models import (
    BatchChangeReply,
    BatchGetReply,
    BatchNamesRequest,
    BatchSaveRequest,
    ChangeQuery,
    DiffQuery,
    MovedLabelPath,
    MoveLabelRequest,
    NumberedPageQuery,
    PromptChange,
    PromptDiffReply,
    PromptLabelPath,
    PromptLabelsReply,
    PromptPageQuery,
    PromptPath,
    PromptQuery,
    PromptReply,
    PromptSummaryReply,
    PromptVersionPath,
    PromptVersionSummary,
    RenderedPromptReply,
    RenderPromptRequest,
    SavePromptRequest,
)
from functions.prompts.service import PromptService
from shared.http.bounds import RouteBounds
from shared.http.inputs import IfMatch
from shared.http.paging import ListReply
from shared.http.route import Answered
from shared.http.routes import Routes
from shared.http.scopes import ReadScope, WriteScope
from shared.tenancy.context import PlatformContext, Role, TenantContext

if TYPE_CHECKING:
    from shared.runtime import Runtime


def blueprint(runtime: "Runtime") -> func.Blueprint:
    """Bind the prompt routes; the administrator who names no tenant means the global prompts."""
    routes = Routes(runtime, "prompts")
    _bind_prompts(runtime, routes)
    _bind_versions(runtime, routes)
    _bind_labels(runtime, routes)
    _bind_batches(runtime, routes)
    return routes.blueprint


def _service(runtime: "Runtime", caller: TenantContext | PlatformContext) -> PromptService:
    return PromptService(runtime.prompts.of(caller))


def _bind_prompts(runtime: "Runtime", routes: Routes) -> None:
    @routes.put("v1/prompts/{name}", min_role=Role.TENANT_ADMIN)
    async def save_prompt(
        caller: TenantContext | PlatformContext,
        path: PromptPath,
        query: WriteScope,
        prompt: SavePromptRequest,
        if_match: IfMatch | None,
    ) -> PromptReply:
        """Save a prompt's next version.

        The first save makes the prompt. Versions never change; `latest` points at the new one, and other
        labels stay where they are. `warnings` says what in the template is probably not meant. A prompt that
        was deleted begins anew, without its old labels.
        """
        return await _service(runtime, caller).save(path.name, prompt, query.scope, if_match)

    @routes.get("v1/prompts/{name}", min_role=Role.USER)
    async def get_prompt(
        caller: TenantContext | PlatformContext, path: PromptPath, query: PromptQuery
    ) -> Answered[PromptReply]:
        """Show a prompt.

        It is the tenant's own prompt, and where there is none the global one, as `source` says. The answer is
        60 s old at most, as the header `Age` says; `fresh=true` asks the store now.
        """
        return await _service(runtime, caller).read(path.name, query)

    @routes.get("v1/prompts", min_role=Role.USER)
    async def list_prompts(
        caller: TenantContext | PlatformContext, query: PromptPageQuery
    ) -> ListReply[PromptSummaryReply]:
        """List the prompts.

        They come without templates, sorted by name.
        """
        return await _service(runtime, caller).list(query)

    @routes.delete("v1/prompts/{name}", min_role=Role.TENANT_ADMIN)
    async def delete_prompt(
        caller: TenantContext | PlatformContext,
        path: PromptPath,
        query: ChangeQuery,
        if_match: IfMatch | None,
    ) -> None:
        """Take a prompt out of use; it can be restored.

        Nothing is lost: `POST /prompts/{name}/restore` brings it back with its labels, and `GET
        /prompts?deleted=true` lists it.
        """
        await _service(runtime, caller).delete(path.name, query, if_match)

    @routes.post("v1/prompts/{name}/restore", min_role=Role.TENANT_ADMIN)
    async def restore_prompt(
        caller: TenantContext | PlatformContext,
        path: PromptPath,
        query: ChangeQuery,
        if_match: IfMatch | None,
    ) -> PromptSummaryReply:
        """Take a deleted prompt into use again.

        It has the versions and labels that it was deleted with.
        """
        return await _service(runtime, caller).restore(path.name, query, if_match)

    @routes.post("v1/prompts/{name}/render", min_role=Role.USER)
    async def render_prompt(
        caller: TenantContext | PlatformContext,
        path: PromptPath,
        query: PromptQuery,
        request: RenderPromptRequest,
    ) -> Answered[RenderedPromptReply]:
        """Fill in a prompt's variables.

        What is missing and what is unknown is refused with its names. Values are taken as they are: nothing
        in them is ever run.
        """
        return await _service(runtime, caller).render(path.name, query, request)


def _bind_versions(runtime: "Runtime", routes: Routes) -> None:
    @routes.get("v1/prompts/{name}/versions", min_role=Role.USER)
    async def list_prompt_versions(
        caller: TenantContext | PlatformContext, path: PromptPath, query: NumberedPageQuery
    ) -> ListReply[PromptVersionSummary]:
        """List a prompt's versions.

        The newest comes first, without templates.
        """
        return await _service(runtime, caller).versions(path.name, query)

    @routes.get("v1/prompts/{name}/versions/{version}", min_role=Role.USER)
    async def get_prompt_version(
        caller: TenantContext | PlatformContext, path: PromptVersionPath, query: ReadScope
    ) -> Answered[PromptReply]:
        """Show a version of a prompt.

        A version never changes once it is saved.
        """
        wanted = PromptQuery(version=path.version, label=None, scope=query.scope)
        return await _service(runtime, caller).read(path.name, wanted)

    @routes.get("v1/prompts/{name}/diff", min_role=Role.USER)
    async def diff_prompt(
        caller: TenantContext | PlatformContext, path: PromptPath, query: DiffQuery
    ) -> PromptDiffReply:
        """Compare two versions of a prompt.

        It compares template, config, examples, declared variables, description and tags. Without `from` it is
        against the version before.
        """
        return await _service(runtime, caller).diff(path.name, query)

    @routes.get("v1/prompts/{name}/history", min_role=Role.USER)
    async def get_prompt_history(
        caller: TenantContext | PlatformContext, path: PromptPath, query: NumberedPageQuery
    ) -> ListReply[PromptChange]:
        """Show who changed a prompt, when and why.

        The newest change comes first: saves, moves of labels, deletions and restorations.
        """
        return await _service(runtime, caller).history(path.name, query)


def _bind_labels(runtime: "Runtime", routes: Routes) -> None:
    @routes.get("v1/prompts/{name}/labels", min_role=Role.USER)
    async def list_prompt_labels(
        caller: TenantContext | PlatformContext, path: PromptPath, query: ReadScope
    ) -> PromptLabelsReply:
        """Show where a prompt's labels point.

        `latest` is always among them.
        """
        return await _service(runtime, caller).labels(path.name, query.scope)

    @routes.put("v1/prompts/{name}/labels/{label}", min_role=Role.TENANT_ADMIN)
    async def move_prompt_label(
        caller: TenantContext | PlatformContext,
        path: MovedLabelPath,
        query: WriteScope,
        target: MoveLabelRequest,
        if_match: IfMatch | None,
    ) -> PromptLabelsReply:
        """Point a label at a version.

        Moving it is how a version is released, and moving it back is the rollback. Bots and jobs that name
        neither label nor version use `production` where there is one.
        """
        at = (path.name, path.label)
        return await _service(runtime, caller).move_label(at, target, query.scope, if_match)

    @routes.delete("v1/prompts/{name}/labels/{label}", min_role=Role.TENANT_ADMIN)
    async def remove_prompt_label(
        caller: TenantContext | PlatformContext,
        path: PromptLabelPath,
        query: ChangeQuery,
        if_match: IfMatch | None,
    ) -> None:
        """Take a label away.

        The versions stay. `latest` cannot be taken away.
        """
        await _service(runtime, caller).remove_label(path.name, path.label, query, if_match)


def _bind_batches(runtime: "Runtime", routes: Routes) -> None:
    def service(caller: TenantContext | PlatformContext) -> PromptBatchService:
        return PromptBatchService(runtime.prompts.of(caller))

    @routes.post("v1/prompts/batch-get", min_role=Role.USER)
    async def batch_get_prompts(
        caller: TenantContext | PlatformContext, names: BatchNamesRequest
    ) -> BatchGetReply:
        """Show many prompts.

        Each name has a result of its own, found or not. A prompt that the answer has no room for is refused
        with 413 among the results.
        """
        return await service(caller).get(names)

    @routes.post("v1/prompts/batch-save", min_role=Role.TENANT_ADMIN, bounds=RouteBounds(containers=20_000))
    async def batch_save_prompts(
        caller: TenantContext | PlatformContext, query: WriteScope, batch: BatchSaveRequest
    ) -> BatchChangeReply:
        """Save many prompts.

        Each is saved or refused on its own: a bad one stops no other. A name counts once.
        """
        return await service(caller).save(batch, query.scope)

    @routes.post("v1/prompts/batch-delete", min_role=Role.TENANT_ADMIN)
    async def batch_delete_prompts(
        caller: TenantContext | PlatformContext, query: ChangeQuery, names: BatchNamesRequest
    ) -> BatchChangeReply:
        """Take many prompts out of use.

        Each is deleted or refused on its own; they can be restored one by one.
        """
        return await service(caller).delete(names, query)
