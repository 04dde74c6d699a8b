"""Tenant settings: typed declarations, a registry, and values resolved from tenant to global to default.

A setting is declared once, beside the domain that reads it. Its type checks the values that are written,
describes the form's field and is the type that readers get. docs/adr/0015-tenant-settings.md has the storage.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, StrictBool, StrictInt, StrictStr, TypeAdapter

from shared.caching.region import Freshness
from shared.errors import ValidationError
from shared.logging.logger import get_logger
from shared.resilience.concurrency import side_by_side
from shared.tenancy.context import Role
from shared.tenancy.errors import SettingNotFoundError
from shared.tenancy.settings_store import global_settings, settings_of
from shared.validation import validate_input

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from shared.caching.region import Cache, Region
    from shared.clock import Clock
    from shared.cosmos.container import Container
    from shared.tenancy.context import TenantContext
    from shared.tenancy.settings_store import OwnSettings, StoredSetting

FRESHNESS = Freshness(ttl_seconds=12, stale_seconds=8, keep_last_good=True, last_good_seconds=24 * 3600)
"""A change is in force everywhere within 30 s: 20, and 10 for who derives something from settings."""

_MOST_TENANTS = 5_000
_logger = get_logger(__name__)


class SettingType(StrEnum):
    """Kind of field that a form shows."""

    BOOL = "bool"
    CHOICE = "choice"
    INT = "int"
    TEXT = "text"
    JSON = "json"


class SettingScope(StrEnum):
    """Owners who may set it: each tenant for itself (and the platform for all), or the platform alone."""

    TENANT = "tenant"
    GLOBAL = "global"


class SettingSource(StrEnum):
    """Level that a value comes from, the strongest first."""

    TENANT = "tenant"
    GLOBAL = "global"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting[T]:
    """One setting; make it with `boolean`, `choice`, `integer`, `text` or `document`.

    Attributes:
        key: `{capability}.{name}`.
        label: What a form calls it.
        description: What it decides, for whoever fills the form in.
        default: The value where nobody has set one.
        check: Accepts a value as it came in JSON, and describes what it accepts.
        min_role: The least role that may set a tenant's own value.
    """

    key: str
    label: str
    description: str
    default: T
    type: SettingType
    check: TypeAdapter[T]
    scope: SettingScope = SettingScope.TENANT
    min_role: Role = Role.TENANT_ADMIN

    def parse(self, value: object) -> T:
        """Check a value that came in JSON.

        Raises:
            ValidationError: It is of another type or out of bounds; `detail` names the field.
        """
        return validate_input(
            lambda: self.check.validate_python(value), f"value of '{self.key}'", "body.value"
        )

    def render(self, value: T) -> Any:  # noqa: ANN401  # JSON of the setting's own shape
        """Turn a value into JSON."""
        return self.check.dump_python(value, mode="json")

    def form(self) -> dict[str, Any]:
        """Describe the accepted JSON as a JSON schema: choices, bounds and lengths."""
        return self.check.json_schema()


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Facts that every setting states of itself."""

    key: str
    label: str
    description: str
    scope: SettingScope = SettingScope.TENANT
    min_role: Role = Role.TENANT_ADMIN


def _setting[T](about: About, kind: SettingType, check: TypeAdapter[T], default: T) -> Setting[T]:
    return Setting(
        key=about.key,
        label=about.label,
        description=about.description,
        scope=about.scope,
        min_role=about.min_role,
        type=kind,
        check=check,
        default=default,
    )


def boolean(about: About, *, default: bool) -> Setting[bool]:
    """Declare a checkbox."""
    return _setting(about, SettingType.BOOL, TypeAdapter(StrictBool), default)


def choice[E: StrEnum](about: About, *, default: E) -> Setting[E]:
    """Declare a choice among the members of the default's enumeration."""
    return _setting(about, SettingType.CHOICE, TypeAdapter(type(default)), default)


def integer(about: About, *, default: int, minimum: int, maximum: int) -> Setting[int]:
    """Declare a whole number within bounds, both included."""
    check: TypeAdapter[int] = TypeAdapter(Annotated[StrictInt, Field(ge=minimum, le=maximum)])
    return _setting(about, SettingType.INT, check, default)


def text(about: About, *, default: str, max_length: int, pattern: str | None = None) -> Setting[str]:
    """Declare a line of text."""
    check: TypeAdapter[str] = TypeAdapter(Annotated[StrictStr, Field(max_length=max_length, pattern=pattern)])
    return _setting(about, SettingType.TEXT, check, default)


def document[T](about: About, check: TypeAdapter[T], *, default: T) -> Setting[T]:
    """Declare a JSON document of the type that `check` holds; the type bounds its size."""
    return _setting(about, SettingType.JSON, check, default)


class SettingRegistry:
    """Every setting of the app by its key, in order; each domain declares its own.

    Raises:
        ValueError: Two have one key.
    """

    def __init__(self, declared: Iterable[Setting[Any]]) -> None:
        self._by_key: dict[str, Setting[Any]] = {}
        for setting in sorted(declared, key=lambda one: one.key):
            if setting.key in self._by_key:
                raise ValueError(f"there is a setting '{setting.key}' already")
            self._by_key[setting.key] = setting

    def __iter__(self) -> Iterator[Setting[Any]]:
        return iter(self._by_key.values())

    def find(self, key: str) -> Setting[Any]:
        """Return a setting.

        Raises:
            SettingNotFoundError: None has this key.
        """
        if key not in self._by_key:
            raise SettingNotFoundError(key)
        return self._by_key[key]


@dataclass(frozen=True, slots=True)
class Resolved[T]:
    """A setting's value in force, and who has set it."""

    value: T
    source: SettingSource


def resolve[T](
    setting: Setting[T], own: Mapping[str, StoredSetting], everybodys: Mapping[str, StoredSetting]
) -> Resolved[T]:
    """Take the tenant's value, else the global one, else the default.

    A stored value that this release does not accept, such as a choice of a newer one, counts as not set.
    """
    levels = [(SettingSource.GLOBAL, everybodys)]
    if setting.scope is SettingScope.TENANT:
        levels.insert(0, (SettingSource.TENANT, own))
    for source, level in levels:
        if (stored := level.get(setting.key)) is None:
            continue
        try:
            return Resolved(setting.parse(stored.value), source)
        except ValidationError:
            _logger.warning("A stored setting is not accepted", extra={"key": setting.key, "source": source})
    return Resolved(setting.default, SettingSource.DEFAULT)


type StoredSettings = Mapping[str, StoredSetting]
"""The values that one owner has set, by key."""

type _Levels = tuple[StoredSettings, StoredSettings]
"""A tenant's own ones and everybody's."""


class TenantSettings:
    """The settings in force, as the capabilities read them.

    They may be a few seconds old, and are the last known ones while the store is down: a setting protects
    nothing. Who changes settings reads `of` and `everybodys` themselves.

    Args:
        registry: The settings that there are.
        container: The container of what was set.
        clock: Dates changes.
        cache: Remembers what was set.
    """

    def __init__(self, registry: SettingRegistry, container: Container, clock: Clock, cache: Cache) -> None:
        self.registry = registry
        self._container = container
        self._clock = clock
        self._stored: Region[_Levels] = cache.region("settings", FRESHNESS, _MOST_TENANTS)
        self.everybodys = global_settings(container, clock)

    def of(self, tenant: TenantContext) -> OwnSettings:
        """Open what a tenant has set."""
        return settings_of(tenant, self._container, self._clock)

    async def value[T](self, tenant: TenantContext, setting: Setting[T]) -> T:
        """Return the tenant's value, else the global one, else the default.

        Raises:
            DependencyUnavailableError: The store is down, and nothing was read before.
        """

        async def load() -> _Levels:
            own, everybodys = await side_by_side([self.of(tenant).read(), self.everybodys.read()])
            return own, everybodys

        return resolve(setting, *await self._stored.get(tenant, "", load)).value

    def forget(self, tenant: TenantContext) -> None:
        """Let a change that was made here be in force here at once."""
        self._stored.forget(tenant, "")
