"""Reads the official emulator's Config.json, and refuses by name what is not supported here."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from local.servicebus.engine.model import QueueSpec

if TYPE_CHECKING:
    from pathlib import Path

_DURATION: Final = re.compile(
    r"P(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)
_UNITS: Final = {"days": 86_400_000, "hours": 3_600_000, "minutes": 60_000, "seconds": 1_000}
_FOREVER: Final = 3_650_000 * 86_400_000  # Azure's "never" is P10675199DT2H48M5.4775807S, 29,000 years
_MOST_LOCK: Final = 300_000
_KNOWN: Final = frozenset(
    {
        "DeadLetteringOnMessageExpiration",
        "DefaultMessageTimeToLive",
        "DuplicateDetectionHistoryTimeWindow",
        "ForwardDeadLetteredMessagesTo",
        "ForwardTo",
        "LockDuration",
        "MaxDeliveryCount",
        "RequiresDuplicateDetection",
        "RequiresSession",
    }
)


class ConfigError(ValueError):
    """The declaration of the queues cannot be used."""


@dataclass(frozen=True, slots=True)
class Config:
    """The namespace that is declared; topics only by name, to refuse them by name."""

    queues: tuple[QueueSpec, ...]
    topics: tuple[str, ...] = ()


def read_config(path: Path) -> Config:
    """Read the queues from a Config.json.

    Raises:
        ConfigError: The file cannot be read, or asks for what is not supported.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        namespaces = document["UserConfig"]["Namespaces"]
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is not an emulator's Config.json with UserConfig.Namespaces: {error}"
        ) from error
    if not isinstance(namespaces, list) or len(namespaces) != 1 or not isinstance(namespaces[0], dict):
        raise ConfigError(f"{path} must declare exactly one namespace")
    namespace = namespaces[0]
    queues = tuple(_queue(entry) for entry in namespace.get("Queues") or ())
    names = [queue.name.lower() for queue in queues]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise ConfigError(f"queues are declared more than once: {', '.join(sorted(repeated))}")
    topics = tuple(str(topic.get("Name")) for topic in namespace.get("Topics") or ())
    return Config(queues, topics)


def milliseconds(duration: str) -> int:
    """Read an ISO 8601 duration of days, hours, minutes and seconds.

    Raises:
        ConfigError: It is not one.
    """
    match = _DURATION.fullmatch(duration)
    if match is None or not any(match.groupdict().values()):
        raise ConfigError(f"'{duration}' is not a duration such as PT1M or P14D")
    return int(sum(float(value) * _UNITS[unit] for unit, value in match.groupdict().items() if value))


def _queue(entry: Any) -> QueueSpec:  # noqa: ANN401 - a piece of JSON, checked here
    name = entry.get("Name") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not name:
        raise ConfigError("a queue without a Name is declared")
    properties = entry.get("Properties") or {}
    unknown = sorted(set(properties) - _KNOWN)
    if unknown:
        raise ConfigError(f"queue '{name}': {', '.join(unknown)} is not supported")
    for forward in ("ForwardTo", "ForwardDeadLetteredMessagesTo"):
        if properties.get(forward):
            raise ConfigError(f"queue '{name}': {forward} is not supported")
    try:
        time_to_live = milliseconds(properties.get("DefaultMessageTimeToLive", "P14D"))
        spec = QueueSpec(
            name=name,
            lock_duration=milliseconds(properties.get("LockDuration", "PT1M")),
            max_delivery_count=int(properties.get("MaxDeliveryCount", 10)),
            default_time_to_live=time_to_live if time_to_live < _FOREVER else None,
            dead_letter_on_expiry=bool(properties.get("DeadLetteringOnMessageExpiration", False)),
            requires_session=bool(properties.get("RequiresSession", False)),
            requires_duplicate_detection=bool(properties.get("RequiresDuplicateDetection", False)),
            duplicate_window=milliseconds(properties.get("DuplicateDetectionHistoryTimeWindow", "PT10M")),
        )
    except (ConfigError, TypeError, ValueError) as error:
        raise ConfigError(f"queue '{name}': {error}") from error
    if not 0 < spec.lock_duration <= _MOST_LOCK:
        raise ConfigError(f"queue '{name}': LockDuration must be above 0 and at most PT5M")
    if spec.max_delivery_count is None or spec.max_delivery_count < 1:
        raise ConfigError(f"queue '{name}': MaxDeliveryCount must be at least 1")
    return spec
