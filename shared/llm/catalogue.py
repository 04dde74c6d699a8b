"""Catalogue of the models that may be called: the packaged table, under a setting and what is stored."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import pydantic

from shared.errors import APIError, ConfigurationError, ValidationError
from shared.llm.chat_model import ModelNotFoundError, ModelUnavailableError
from shared.llm.deployments import (
    BOT_PREFIX,
    CatalogueEntry,
    CatalogueSource,
    ModelDeployment,
    ModelKind,
    ModelName,
    Provider,
    complete_entry,
    find_model,
)
from shared.llm.packaged_models import CURRENCY
from shared.llm.prices import PriceTable
from shared.logging.logger import get_logger
from shared.resilience.single_flight import SingleFlight
from shared.tenancy.context import PlatformContext

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from shared.clock import Clock
    from shared.llm.catalogue_store import CatalogueItem, CatalogueStore
    from shared.tenancy.context import TenantContext

TTL_SECONDS = 15.0
"""A change is in force everywhere after so long; where it was made, at once."""

LAST_GOOD_SECONDS = 24 * 3600.0
"""So long the entries as they were last read are good while the store is down."""

_logger = get_logger(__name__)

type AllowedModels = Callable[[TenantContext], Awaitable[Sequence[str]]]
"""The names that a tenant may use; none of them: all."""


class ConfiguredEntry(CatalogueEntry):
    """An entry as an administrator writes it: a field that there is not is a mistake."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


_CONFIGURED = pydantic.TypeAdapter(dict[ModelName, ConfiguredEntry])


@dataclass(frozen=True, slots=True)
class CatalogueBase:
    """Entries that are the same for as long as the process lives.

    Attributes:
        models: The packaged table.
        configured: The setting's entries.
        currency: Currency of all prices; the packaged ones are left out where theirs is another.
        api_version: The version by which the app's own resource is called; None for Azure's v1.
        default_model: The model of bots and jobs that name none.
    """

    models: Mapping[str, CatalogueEntry]
    configured: Mapping[str, CatalogueEntry] = field(default_factory=dict)
    currency: str = CURRENCY
    api_version: str | None = None
    default_model: str = ""


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model as the administrator sees it.

    Attributes:
        deployment: The model, with all that is known of it.
        enabled: Whether it may be used.
        etag: The state of the stored entry; None where it is not stored.
        model: The packaged model that the entry names; None where it names none.
    """

    deployment: ModelDeployment
    enabled: bool
    etag: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class _Loaded:
    listed: Mapping[str, ListedModel]
    deployments: Mapping[str, ModelDeployment]
    prices: PriceTable
    since: float


class ModelCatalogue:
    """The deployments that there are, and those of them that a tenant may use.

    Args:
        base: The entries that nobody stored.
        store: Those that the administrator stored.
        allowed: The tenant's setting.
        clock: Measures how old what was read is.
    """

    def __init__(
        self, base: CatalogueBase, store: CatalogueStore, allowed: AllowedModels, clock: Clock
    ) -> None:
        self._base = base
        self._store = store
        self._allowed = allowed
        self._clock = clock
        self._loaded: _Loaded | None = None
        self._flight: SingleFlight[str, _Loaded] = SingleFlight("the model catalogue")

    async def deployments(self) -> Mapping[str, ModelDeployment]:
        """Return every deployment that is enabled, by name.

        Raises:
            DependencyUnavailableError: The store is down, and nothing was read before.
            DependencyTimeoutError: Likewise, it did not answer in time.
        """
        return (await self._load()).deployments

    async def listed(self) -> Mapping[str, ListedModel]:
        """Return every model, by name; those that are not enabled too."""
        return (await self._load()).listed

    @property
    def currency(self) -> str:
        """Return the currency of all prices."""
        return self._base.currency

    @property
    def default_model(self) -> str:
        """Return the model of bots and jobs that name none."""
        return self._base.default_model

    def is_packaged(self, model: str) -> bool:
        """Tell whether the packaged table has a model."""
        return find_model(self._base.models, model) is not None

    async def prices(self) -> PriceTable:
        """Return what each model costs."""
        return (await self._load()).prices

    async def usable(self, tenant: TenantContext) -> Mapping[str, ModelDeployment]:
        """Return the deployments that a tenant may use, by name."""
        known = await self.deployments()
        allowed = await self._allowed(tenant)
        if not allowed:
            return known
        return {name: known[name] for name in sorted(set(allowed)) if name in known}

    async def known_to(self, caller: TenantContext | PlatformContext) -> Mapping[str, ModelDeployment]:
        """Return the deployments that a caller may name: the administrator who acts for no tenant, all."""
        if isinstance(caller, PlatformContext):
            return await self.deployments()
        return await self.usable(caller)

    async def require(
        self, caller: TenantContext | PlatformContext, name: str, path: str, *, only_azure: bool = False
    ) -> None:
        """Refuse the name of a chat model that there is not, or not for the tenant: the two look the same.

        Args:
            caller: Who names it.
            name: The name.
            path: The path of the field that has it, such as `body.model`.
            only_azure: Whether it has to be one of Azure's.

        Raises:
            ModelNotFoundError: It may not be used.
            ValidationError: It has to be one of Azure's, and is not.
        """
        known = _chat_models(await self.known_to(caller))
        if name not in known:
            raise ModelNotFoundError(name, list(known), path)
        if only_azure and not known[name].provider.is_azure:
            problem = "is not one of Azure's, which the provider azure stands for"
            raise ValidationError(f"Model '{name}' {problem}", {"fields": {path: problem}})

    async def route(
        self, tenant: TenantContext, name: str, kind: ModelKind = ModelKind.CHAT
    ) -> tuple[ModelDeployment, ...]:
        """Return the deployment of a name, and after it those that may be asked in its place.

        Raises:
            ModelUnavailableError: There is none (any more), or the tenant may not use it.
        """
        usable = await self.usable(tenant)
        first = usable.get(name)
        if first is None or first.kind is not kind:
            raise ModelUnavailableError(name)
        others = (usable[other] for other in first.fallbacks if other in usable)
        return (first, *(one for one in others if _may_stand_in(one, first)))

    async def tokenizer(self, tenant: TenantContext, name: str) -> str:
        """Return the encoding that prompts of a model are counted in.

        Raises:
            ModelUnavailableError: There is none (any more), or the tenant may not use it.
        """
        return (await self.route(tenant, name))[0].tokenizer

    def list_one(self, name: str, item: CatalogueItem) -> ListedModel:
        """Return a model as it is with what was just stored."""
        return self._merge({name: item})[name]

    def forget(self) -> None:
        """Let a change that was made here be in force here at once."""
        self._flight.forget(lambda _: True)
        if self._loaded is not None:
            self._loaded = replace(self._loaded, since=self._clock.monotonic() - TTL_SECONDS)

    async def _load(self) -> _Loaded:
        loaded = self._loaded
        now = self._clock.monotonic()
        if loaded is not None and now - loaded.since < TTL_SECONDS:
            return loaded
        try:
            return await self._flight.ask("", self._read, self._keep)
        except APIError as error:
            if loaded is None or not error.is_outage or now - loaded.since > LAST_GOOD_SECONDS:
                raise
            _logger.warning("The models are as they were last read", extra={"error": type(error).__name__})
            return loaded

    async def _read(self) -> _Loaded:
        since = self._clock.monotonic()
        listed = self._merge(await self._store.read())
        deployments = {name: one.deployment for name, one in listed.items() if one.enabled}
        priced = {name: one.price for name, one in deployments.items() if one.price is not None}
        prices = PriceTable(self._base.currency, MappingProxyType(priced))
        return _Loaded(MappingProxyType(listed), MappingProxyType(deployments), prices, since)

    def _keep(self, loaded: _Loaded) -> None:
        self._loaded = loaded

    def _merge(self, items: Mapping[str, CatalogueItem]) -> dict[str, ListedModel]:
        entries = {name: (CatalogueEntry(), CatalogueSource.PACKAGED) for name in self._base.models}
        entries |= {name: (entry, CatalogueSource.SETTING) for name, entry in self._base.configured.items()}
        for name, item in items.items():
            if (entry := item.parse_entry()) is None:
                entries.pop(name, None)  # what it replaced may be out of use, or at another place
            else:
                entries[name] = (entry, CatalogueSource.STORED)
        etags = {name: item.etag for name, item in items.items()}
        return {
            name: ListedModel(
                self._complete(name, entry, source), entry.enabled, etags.get(name), entry.model
            )
            for name, (entry, source) in sorted(entries.items())
        }

    def _complete(self, name: str, entry: CatalogueEntry, source: CatalogueSource) -> ModelDeployment:
        model = find_model(self._base.models, entry.model or name)
        if model is not None and self._base.currency != CURRENCY:
            model = model.model_copy(update={"price": None})
        whole = complete_entry(name, entry, model, source)
        if whole.base_url is None and self._base.api_version is not None:
            return replace(
                whole,
                provider=Provider.AZURE_API_VERSION,
                api_version=whole.api_version or self._base.api_version,
            )
        return whole


def parse_configured(value: object) -> Mapping[str, CatalogueEntry]:
    """Read the entries of the setting.

    Raises:
        ConfigurationError: One is malformed, or has a bot's name; it names each field at fault.
    """
    try:
        entries = _CONFIGURED.validate_python(value)
    except pydantic.ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        wrong = {".".join(map(str, one["loc"])) for one in problems}
    else:
        wrong = {name for name in entries if name.startswith(BOT_PREFIX)}
        if not wrong:
            return entries
    raise ConfigurationError([".".join(filter(None, ("MODEL_CATALOGUE", name))) for name in sorted(wrong)])


def _chat_models(deployments: Mapping[str, ModelDeployment]) -> dict[str, ModelDeployment]:
    return {name: one for name, one in deployments.items() if one.kind is ModelKind.CHAT}


def _may_stand_in(deployment: ModelDeployment, first: ModelDeployment) -> bool:
    """Tell whether a deployment may answer in another one's place: vectors of two models do not compare."""
    if deployment.kind is not first.kind:
        return False
    return first.kind is ModelKind.CHAT or deployment.served_model == first.served_model
