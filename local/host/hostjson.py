"""`host.json`: the options that the host honours, with Azure's defaults; others are named in a warning."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from local.host.jsonc import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_TIMESPAN = re.compile(r"^(?:(\d+)\.)?(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,7}))?)?$")

_DAYS = re.compile(r"\d{1,7}")

_OVERRIDE = "AZUREFUNCTIONSJOBHOST__"

UNLIMITED = timedelta.max
"""The meaning of `functionTimeout: -1`."""


class HostJsonError(Exception):
    """`host.json` cannot be used."""


def parse_timespan(text: str) -> timedelta:
    """Read .NET's `[d.]hh:mm[:ss[.fffffff]]`; a number alone is days.

    Raises:
        ValueError: It is not one.
    """
    if _DAYS.fullmatch(text):
        return timedelta(days=int(text))
    match = _TIMESPAN.match(text)
    if match is None:
        raise ValueError(f"'{text}' is not a duration such as 00:05:00")
    days, hours, minutes, seconds, fraction = match.groups()
    return timedelta(
        days=int(days or 0),
        hours=int(hours),
        minutes=int(minutes),
        seconds=int(seconds or 0) + float(f"0.{fraction or 0}"),
    )


def _timespan(value: object) -> object:
    if value in {-1, "-1"}:
        return UNLIMITED
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return parse_timespan(str(value)) if is_number or isinstance(value, str) else value


def _version(value: object) -> object:
    return "2.0" if value == 2.0 and not isinstance(value, bool) else value  # noqa: PLR2004  # the only version


type Duration = Annotated[timedelta, BeforeValidator(_timespan)]


class _Options(BaseModel):
    model_config = ConfigDict(
        extra="allow",
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        coerce_numbers_to_str=True,
    )


class HttpOptions(_Options):
    """`extensions.http`."""

    route_prefix: str = "api"
    max_outstanding_requests: int = -1
    max_concurrent_requests: int = -1


class ServiceBusOptions(_Options):
    """`extensions.serviceBus`."""

    prefetch_count: int = Field(0, ge=0)
    auto_complete_messages: bool = Field(
        default=True, validation_alias=AliasChoices("autoCompleteMessages", "autoComplete")
    )
    max_auto_lock_renewal_duration: Duration = timedelta(minutes=5)
    max_concurrent_calls: int = Field(default_factory=lambda: 16 * (os.cpu_count() or 1), ge=1)
    max_concurrent_sessions: int = Field(8, ge=1)
    max_concurrent_calls_per_session: int = Field(1, ge=1)
    max_message_batch_size: int = Field(1000, ge=1)
    min_message_batch_size: int = Field(1, ge=1)
    max_batch_wait_time: Duration = timedelta(seconds=30)
    session_idle_timeout: Duration = timedelta(minutes=1)

    @model_validator(mode="after")
    def _least_batch_fits(self) -> Self:
        if self.min_message_batch_size > self.max_message_batch_size:
            raise ValueError("minMessageBatchSize has to be at most maxMessageBatchSize")
        return self


class BlobOptions(_Options):
    """`extensions.blobs`."""

    max_degree_of_parallelism: int = Field(default_factory=lambda: 8 * (os.cpu_count() or 1), ge=1)
    poison_blob_threshold: int = Field(5, ge=1)


class Extensions(_Options):
    """`extensions`."""

    http: HttpOptions = HttpOptions()
    service_bus: ServiceBusOptions = Field(default_factory=ServiceBusOptions)
    blobs: BlobOptions = Field(default_factory=BlobOptions)


class LoggingOptions(_Options):
    """`logging`; categories not named follow `default`."""

    log_level: dict[str, str] = Field(default_factory=dict)
    application_insights: dict[str, Any] = Field(default_factory=dict)
    console: dict[str, Any] = Field(default_factory=dict)


class HostJson(_Options):
    """The file as a whole."""

    version: Annotated[Literal["2.0"], BeforeValidator(_version)]
    function_timeout: Duration = timedelta(minutes=30)
    functions: list[str] | None = None
    extension_bundle: dict[str, Any] = Field(default_factory=dict)
    managed_dependency: dict[str, Any] = Field(default_factory=dict)
    logging: LoggingOptions = LoggingOptions()
    extensions: Extensions = Field(default_factory=Extensions)

    def unknown_options(self) -> list[str]:
        """Return the paths of the options that this host does not know."""
        return sorted(_unknown(self, ""))


def _unknown(options: _Options, prefix: str) -> Iterator[str]:
    for name in options.model_extra or {}:
        yield f"{prefix}{name}"
    for name, field in type(options).model_fields.items():
        value = getattr(options, name)
        if isinstance(value, _Options):
            yield from _unknown(value, f"{prefix}{field.alias or name}.")


def _put(content: dict[str, Any], path: Sequence[str], value: str) -> None:
    """Set an option; names that are there are found without regard to case, as .NET finds them."""
    known = {name.lower(): name for name in content}
    name = known.get(path[0].lower(), path[0])
    if len(path) == 1:
        content[name] = value
        return
    section = content.setdefault(name, {})
    if isinstance(section, dict):
        _put(section, path[1:], value)


def load_host_json(app_root: Path, environ: Mapping[str, str] | None = None) -> HostJson:
    """Read the app's `host.json`, and what the environment sets of it by `AzureFunctionsJobHost__a__b`.

    Raises:
        HostJsonError: It is missing, no JSON, or an option has an impossible value.
    """
    path = app_root / "host.json"
    if not path.is_file():
        raise HostJsonError(f"no host.json in {app_root}: is this a function app?")
    try:
        content: dict[str, Any] = read_json(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise HostJsonError(f"host.json is not JSON: {error}") from error
    for name, value in (environ or {}).items():
        if name.upper().startswith(_OVERRIDE):
            _put(content, name[len(_OVERRIDE) :].split("__"), value)
    try:
        return HostJson.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise HostJsonError(f"host.json: {where}: {first['msg']}") from error
