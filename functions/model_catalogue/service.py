"""Show and change the catalogue of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.model_catalogue.errors import ModelEntryNotFoundError
from functions.model_catalogue.models import DeploymentReply, ImageTokensReply, ModelPriceReply, ModelReply
from shared.http.paging import ListReply, cut_page
from shared.llm.catalogue_store import NOT_STORED_ETAG
from shared.llm.deployments import BOT_PREFIX, CatalogueEntry
from shared.tenancy.audit import AuditAction
from shared.tenancy.context import PlatformContext, Role, TenantContext, as_platform
from shared.validation import refused_field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from functions.model_catalogue.models import ModelPageQuery, PutModelRequest
    from shared.clock import Clock
    from shared.llm.catalogue import ListedModel, ModelCatalogue
    from shared.llm.catalogue_store import CatalogueStore
    from shared.llm.image_tokens import ImageTokens
    from shared.llm.prices import ModelPrice
    from shared.tenancy.audit import AuditTrail


class CatalogueService:
    """The catalogue, as one caller sees it.

    Args:
        caller: Who asks.
        catalogue: The models that there are.
        store: Those that the administrator stored.
        audit: Where it is kept who changed what.
        clock: Its day tells which of them retire soon.
    """

    def __init__(
        self,
        caller: TenantContext | PlatformContext,
        catalogue: ModelCatalogue,
        store: CatalogueStore,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._caller = caller
        self._catalogue = catalogue
        self._store = store
        self._audit = audit
        self._clock = clock

    async def list(self, query: ModelPageQuery) -> ListReply[ModelReply]:
        """Return one page of models, by name: a tenant's those that it may use, the administrator's all."""
        known = await self._visible()
        after, prefix = query.cursor or "", query.prefix or ""
        names = [name for name in sorted(known) if name > after and name.startswith(prefix)]
        page = cut_page(names, query.limit, lambda name: name)
        return ListReply[ModelReply].of(page, lambda name: self._render(known[name]))

    async def put(self, name: str, request: PutModelRequest, if_match: str | None) -> ModelReply:
        """Store an entry over whatever had its name.

        Raises:
            PermissionDeniedError: The caller is not the platform's administrator.
            ValidationError: The name is a bot's, or it names a model that the packaged table does not have.
            PreconditionFailedError: The entry is in another state than `if_match`.
            ConflictError: Others kept changing it, or the catalogue is full.
        """
        platform = as_platform(self._caller)
        if name.startswith(BOT_PREFIX):
            raise refused_field("path.name", f"names that begin with {BOT_PREFIX} are those of bots")
        if request.model is not None and not self._catalogue.is_packaged(request.model):
            problem = "is no model of the packaged table; leave it out and say the facts instead"
            raise refused_field("body.model", problem)
        entry = CatalogueEntry.model_validate(request.model_dump())
        async with self._audit.recording(platform, AuditAction.MODEL_PUT, name):
            item = await self._store.put(name, entry, platform.principal, if_match)
        self._catalogue.forget()
        return self._render(self._catalogue.list_one(name, item))

    async def remove(self, name: str, if_match: str | None) -> None:
        """Remove a stored entry: the setting's or the packaged one of its name holds again, if there is one.

        Raises:
            PermissionDeniedError: The caller is not the platform's administrator.
            ModelEntryNotFoundError: Nothing is stored under this name.
            PreconditionFailedError: The entry is in another state than `if_match`.
        """
        platform = as_platform(self._caller)
        async with self._audit.recording(platform, AuditAction.MODEL_DELETE, name):
            removed = await self._store.remove(name, if_match)
        self._catalogue.forget()
        if not removed:
            raise ModelEntryNotFoundError(name)

    @property
    def _is_administrators(self) -> bool:
        return isinstance(self._caller, PlatformContext) or self._caller.role is Role.ADMIN

    async def _visible(self) -> Mapping[str, ListedModel]:
        listed = await self._catalogue.listed()
        if isinstance(self._caller, PlatformContext):
            return listed
        usable = await self._catalogue.usable(self._caller)
        return {name: listed[name] for name in usable if name in listed}

    def _render(self, listed: ListedModel) -> ModelReply:
        one, today = listed.deployment, self._clock.now().date()
        return ModelReply(
            name=one.name,
            source=one.source,
            enabled=listed.enabled,
            provider=one.provider,
            kind=one.kind,
            reasoning=one.reasoning,
            answer_format=one.answer_format,
            tokenizer=one.tokenizer,
            max_input_tokens=one.max_input_tokens,
            max_output_tokens=one.max_output_tokens,
            default_output_tokens=one.default_output_tokens,
            price=None if one.price is None else _render_price(one.price, self._catalogue.currency),
            takes_images=one.images is not None,
            images=None if one.images is None else _render_images(one.images),
            dimensions=one.dimensions,
            fallbacks=list(one.fallbacks),
            retires_on=one.retires_on,
            retires_in_days=one.days_left(today),
            retires_soon=one.retires_soon(today),
            connection=_render_connection(listed) if self._is_administrators else None,
            etag=listed.etag or NOT_STORED_ETAG,
        )


def _render_price(price: ModelPrice, currency: str) -> ModelPriceReply:
    return ModelPriceReply(
        currency=currency,
        prompt=price.prompt,
        cached=price.prompt if price.cached is None else price.cached,
        completion=price.completion,
        reasoning=price.completion if price.reasoning is None else price.reasoning,
    )


def _render_images(images: ImageTokens) -> ImageTokensReply:
    return ImageTokensReply(base=images.base, tile=images.tile, patches=images.patches, factor=images.factor)


def _render_connection(listed: ListedModel) -> DeploymentReply:
    one = listed.deployment
    return DeploymentReply(
        model=listed.model,
        base_url=one.base_url,
        api_version=one.api_version,
        deployment=one.deployment,
        key_setting=one.key_setting,
    )
