"""What tenants can set: a typed registry, and each value resolved from tenant to global to default.

A setting is declared here once. Its type checks what is written, describes the form's field and is what
readers get; `SETTINGS` lists them all. docs/adr/0015-tenant-settings.md says how they are stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import pydantic
from pydantic import Field, StrictBool, StrictInt, StrictStr, TypeAdapter

from shared.caching.region import Freshness
from shared.errors import SettingNotFoundError, ValidationError
from shared.logging.logger import get_logger
from shared.resilience.concurrency import side_by_side
from shared.tenancy.settings_store import global_settings, settings_of
from shared.tokens.prices import PriceTable
from shared.validation import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    """What kind of field a form shows."""

    BOOL = "bool"
    CHOICE = "choice"
    INT = "int"
    TEXT = "text"
    JSON = "json"


class Scope(StrEnum):
    """Who may set it: each tenant for itself (and the platform for all of them), or the platform alone."""

    TENANT = "tenant"
    GLOBAL = "global"


class Source(StrEnum):
    """Where a value comes from, the strongest first."""

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
    """

    key: str
    label: str
    description: str
    default: T
    type: SettingType
    check: TypeAdapter[T]
    scope: Scope = Scope.TENANT

    def parse(self, value: object) -> T:
        """Check a value that came in JSON.

        Raises:
            ValidationError: It is of another type or out of bounds; `detail` names the field.
        """
        try:
            return self.check.validate_python(value)
        except pydantic.ValidationError as error:
            raise invalid(error, f"value of '{self.key}'", "body.value") from error

    def render(self, value: T) -> Any:  # noqa: ANN401  # JSON of the setting's own shape
        """Turn a value into JSON."""
        return self.check.dump_python(value, mode="json")

    def form(self) -> dict[str, Any]:
        """Describe the accepted JSON as a JSON schema: choices, bounds and lengths."""
        return self.check.json_schema()


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What every setting says of itself."""

    key: str
    label: str
    description: str
    scope: Scope = Scope.TENANT


def _setting[T](about: About, kind: SettingType, check: TypeAdapter[T], default: T) -> Setting[T]:
    return Setting(
        key=about.key,
        label=about.label,
        description=about.description,
        scope=about.scope,
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


CHAT_DEFAULT_MODEL = text(
    About(
        key="chat.default_model",
        label="Default model",
        description="The model of bots that name none; empty for the platform's own.",
    ),
    default="",
    max_length=128,
    pattern=r"^[A-Za-z0-9._:/-]*$",
)

USAGE_PRICES = document(
    About(
        key="usage.prices",
        label="Prices of models",
        description="What a million prompt and completion tokens of each model cost, and in which currency.",
        scope=Scope.GLOBAL,
    ),
    TypeAdapter(PriceTable),
    default=PriceTable(),
)

PROMPTS_GLOBAL_FALLBACK = boolean(
    About(
        key="prompts.global_fallback",
        label="Use global prompts",
        description="Whether a prompt that the tenant has none of is taken from the global ones.",
    ),
    default=True,
)


class OnStoreFailure(StrEnum):
    """What becomes of calls to models while the token ledger's store is down."""

    CLOSED = "closed"
    OPEN = "open"


TOKENS_ON_STORE_FAILURE = choice(
    About(
        key="tokens.on_store_failure",
        label="While the token ledger is down",
        description="closed: no call is admitted. open: calls are admitted, and counted by their reports.",
    ),
    default=OnStoreFailure.CLOSED,
)

type _AppShare = Annotated[float, Field(gt=0, le=1)]
type _AppName = Annotated[StrictStr, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9._:-]{0,127}|\*)$")]

TOKENS_APP_SHARES = document(
    About(
        key="tokens.app_shares",
        label="Shares of applications",
        description="The part of the tenant's tokens and requests per minute that each application may use, "
        "above 0 and at most 1. Where any is set, all applications that are not named share that of '*'.",
    ),
    TypeAdapter(Annotated[dict[_AppName, _AppShare], Field(max_length=100)]),
    default={},
)

_DECLARED: tuple[Setting[Any], ...] = (
    CHAT_DEFAULT_MODEL,
    PROMPTS_GLOBAL_FALLBACK,
    TOKENS_APP_SHARES,
    TOKENS_ON_STORE_FAILURE,
    USAGE_PRICES,
)

SETTINGS: Mapping[str, Setting[Any]] = {
    setting.key: setting for setting in sorted(_DECLARED, key=lambda declared: declared.key)
}
"""Every setting by its key, in order. A test demands that each is read somewhere."""


def setting_named(key: str) -> Setting[Any]:
    """Find a setting.

    Raises:
        SettingNotFoundError: None has this key.
    """
    if key not in SETTINGS:
        raise SettingNotFoundError(key)
    return SETTINGS[key]


@dataclass(frozen=True, slots=True)
class Resolved[T]:
    """A setting's value in force, and who has set it."""

    value: T
    source: Source


def resolve[T](
    setting: Setting[T], own: Mapping[str, StoredSetting], everybodys: Mapping[str, StoredSetting]
) -> Resolved[T]:
    """Take the tenant's value, else the global one, else the default.

    A stored value that this release does not accept, such as a choice of a newer one, counts as not set.
    """
    levels = [(Source.GLOBAL, everybodys)]
    if setting.scope is Scope.TENANT:
        levels.insert(0, (Source.TENANT, own))
    for source, level in levels:
        if (stored := level.get(setting.key)) is None:
            continue
        try:
            return Resolved(setting.parse(stored.value), source)
        except ValidationError:
            _logger.warning("A stored setting is not accepted", extra={"key": setting.key, "source": source})
    return Resolved(setting.default, Source.DEFAULT)


type Made = Mapping[str, StoredSetting]
"""What one owner has set, by key."""


class TenantSettings:
    """The settings in force, as the capabilities read them.

    They may be a few seconds old, and are the last known ones while the store is down: a setting protects
    nothing. Who changes settings reads `of` and `everybodys` themselves.
    """

    def __init__(self, container: Container, clock: Clock, cache: Cache) -> None:
        self._container = container
        self._clock = clock
        self._made: Region[tuple[Made, Made]] = cache.region("settings", FRESHNESS, _MOST_TENANTS)
        self.everybodys = global_settings(container, clock)

    def of(self, tenant: TenantContext) -> OwnSettings:
        """Open what a tenant has set."""
        return settings_of(tenant, self._container, self._clock)

    async def value[T](self, tenant: TenantContext, setting: Setting[T]) -> T:
        """Return the tenant's value, else the global one, else the default.

        Raises:
            DependencyUnavailableError: The store is down, and nothing was read before.
        """

        async def load() -> tuple[Made, Made]:
            own, everybodys = await side_by_side([self.of(tenant).read(), self.everybodys.read()])
            return own, everybodys

        return resolve(setting, *await self._made.get(tenant, "", load)).value

    def forget(self, tenant: TenantContext) -> None:
        """Let a change that was made here be in force here at once."""
        self._made.forget(tenant, "")
