"""The app's settings: what `%NAME%` and `connection="NAME"` of a binding resolve to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.host.jsonc import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from pathlib import Path

SETTINGS_FILES = ("local.settings.json", "local.settings.sample.json")

# The well-known account of every Azurite: public, and worth nothing elsewhere.
_DEVELOPMENT_ACCOUNT = "devstoreaccount1"
_DEVELOPMENT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

_PERCENT_NAME = re.compile(r"%([^%\s]+)%")


class SettingError(Exception):
    """A setting is missing or cannot be read."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Where a service is: a connection string, or an address to use with an identity."""

    connection_string: str | None = None
    address: str | None = None


class Settings:
    """Application settings, found without regard to case as on Azure."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = {name.upper(): value for name, value in values.items()}

    def get(self, name: str) -> str | None:
        """Return a setting, or None."""
        upper = name.upper()
        # A colon is a section for .NET; the environment spells it as two underscores.
        return self._values.get(upper, self._values.get(upper.replace(":", "__")))

    def flag(self, name: str) -> bool:
        """Whether a setting is there and says yes."""
        return (self.get(name) or "").strip().lower() in {"1", "true"}

    def resolve(self, text: str) -> str:
        """Replace each `%NAME%` by its setting.

        Raises:
            SettingError: There is no such setting.
        """

        def value(match: re.Match[str]) -> str:
            found = self.get(match[1])
            if found is None:
                raise SettingError(
                    f"'%{match[1]}%' does not resolve to a value: there is no setting {match[1]}"
                )
            return found

        return _PERCENT_NAME.sub(value, text)

    def servicebus(self, name: str) -> Connection:
        """Return the Service Bus namespace of a binding's `connection`.

        Raises:
            SettingError: No setting names one.
        """
        names = _candidates(name, "ServiceBus")
        for candidate in names:
            if text := self.get(candidate):
                return Connection(connection_string=text)
            if address := self.get(f"{candidate}__fullyQualifiedNamespace"):
                return Connection(address=address)
        raise SettingError(
            f"Service Bus connection '{names[0]}': set {names[0]} to a connection string, "
            f"or {names[0]}__fullyQualifiedNamespace"
        )

    def blobs(self, name: str) -> Connection:
        """Return the storage account of a binding's `connection`.

        Raises:
            SettingError: No setting names one.
        """
        names = _candidates(name, "Storage")
        for candidate in names:
            if text := self.get(candidate):
                return Connection(connection_string=_development_storage(text))
            if address := self.get(f"{candidate}__blobServiceUri") or self.get(f"{candidate}__serviceUri"):
                return Connection(address=address)
            if account := self.get(f"{candidate}__accountName"):
                return Connection(address=f"https://{account}.blob.core.windows.net")
        raise SettingError(
            f"Storage connection '{names[0]}': set {names[0]} to a connection string, "
            f"or {names[0]}__blobServiceUri"
        )


def _candidates(name: str, default: str) -> list[str]:
    """Return the settings that a connection may be called; the SDK puts its own prefix first."""
    name = name or default
    return [f"AzureWebJobs{name}", name] if not name.upper().startswith("AZUREWEBJOBS") else [name]


def _development_storage(text: str) -> str:
    parts = dict(part.split("=", 1) for part in text.split(";") if "=" in part)
    if parts.get("UseDevelopmentStorage", "").lower() != "true":
        return text
    host = parts.get("DevelopmentStorageProxyUri", "http://127.0.0.1").rstrip("/")
    return (
        f"DefaultEndpointsProtocol=http;AccountName={_DEVELOPMENT_ACCOUNT};AccountKey={_DEVELOPMENT_KEY};"
        f"BlobEndpoint={host}:10000/{_DEVELOPMENT_ACCOUNT};"
    )


def load_settings(app_root: Path, environment: MutableMapping[str, str]) -> Settings:
    """Complete `environment` with the app's settings file and read the settings from it.

    What the environment already has wins, as with `func start`. The file's `Values` are put into it because
    the functions read them there.

    Raises:
        SettingError: The file is not what a settings file has to be.
    """
    for key, value in file_values(app_root).items():
        environment.setdefault(key, value)
    return Settings(environment)


def file_values(app_root: Path) -> dict[str, str]:
    """Read the `Values` of the app's settings file.

    Raises:
        SettingError: The file is not what a settings file has to be.
    """
    path = settings_file(app_root)
    return {} if path is None else values_of(path)


def settings_file(app_root: Path) -> Path | None:
    """Find the app's settings file: the sample stands in for one that is not there."""
    return next((path for name in SETTINGS_FILES if (path := app_root / name).is_file()), None)


def host_section(app_root: Path) -> dict[str, Any]:
    """Read the section `Host` of the app's settings file.

    Raises:
        SettingError: The file is not what a settings file has to be.
    """
    path = settings_file(app_root)
    section = {} if path is None else _read(path).get("Host") or {}
    if not isinstance(section, dict):
        raise SettingError(f"{path.name if path else ''}: Host has to be an object")
    return section


def values_of(path: Path) -> dict[str, str]:
    """Read the `Values` of a settings file; numbers and booleans are texts as they are written there.

    Raises:
        SettingError: The file is not what a settings file has to be.
    """
    values = _read(path).get("Values") or {}
    texts: dict[str, str] = {}
    for key, value in values.items():
        match value:
            case str():
                texts[key] = value
            case bool():
                texts[key] = "true" if value else "false"
            case None:
                continue
            case _:
                raise SettingError(f"{path.name}: the value of {key} has to be a text")
    return texts


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path.read_text(encoding="utf-8-sig"), number=str)
    except ValueError as error:
        raise SettingError(f"{path.name} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise SettingError(f"{path.name}: expected an object with Values")
    if content.get("IsEncrypted"):
        raise SettingError(f"{path.name} is encrypted: run `func settings decrypt`")
    return content
