"""Settings that a user made of their own: which of them lead the app, and which the local parts take over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.host.settings import SETTINGS_FILES, SettingError, values_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MODEL_ENDPOINT = "AZURE_OPENAI_ENDPOINT"
_MODEL_KEY = "AZURE_OPENAI_API_KEY"
_MODEL = frozenset({MODEL_ENDPOINT, _MODEL_KEY})
_PART_OF = {
    "COSMOS_ENDPOINT": "cosmos",
    "COSMOS_KEY": "cosmos",
    "SERVICEBUS": "servicebus",
    "STORAGE": "azurite",
    "AzureWebJobsStorage": "azurite",
}


@dataclass(frozen=True, slots=True)
class OwnSettings:
    """Settings of the environment and of local.settings.json that are not the sample's.

    Attributes:
        environment: From the environment.
        file: From local.settings.json, without what is as in the sample that it was copied from.
    """

    environment: Mapping[str, str]
    file: Mapping[str, str]

    @classmethod
    def read(cls, app_root: Path, environment: Mapping[str, str]) -> OwnSettings:
        """Read them; a file that cannot be read is the host's to tell of."""
        own, sample = (_values(app_root / name) for name in SETTINGS_FILES)
        differing = {name: value for name, value in own.items() if value and value != sample.get(name)}
        return cls({name: value for name, value in environment.items() if value}, differing)

    def where(self, name: str) -> str | None:
        """Tell where a setting was made; None where it was not."""
        if name in self.environment:
            return "the environment"
        return SETTINGS_FILES[0] if name in self.file else None

    @property
    def model_endpoint(self) -> str | None:
        """The model that the user wants in place of the stand-in."""
        endpoint = self.environment.get(MODEL_ENDPOINT) or self.file.get(MODEL_ENDPOINT)
        return endpoint.rstrip("/") if endpoint else None

    def complete(self, given: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        """Choose between these and what leads the app to the local parts.

        A model of the user's own wins over the stand-in, with its key: it answers, and is paid, as it says.
        The stores of the user's own do not: a demonstration would be written into them.

        Args:
            given: What leads the app to the parts that run.

        Returns:
            What is given of that, and lines that tell of each setting that somebody could expect to win.
        """
        settings, lines = dict(given), []
        endpoint = self.model_endpoint
        if endpoint is not None and settings.get(MODEL_ENDPOINT, endpoint) != endpoint:
            for name in _MODEL:
                del settings[name]
            where = self.where(MODEL_ENDPOINT)
            lines.append(f"the model is {endpoint} ({MODEL_ENDPOINT} of {where}), not the stand-in")
        for name, value in settings.items():
            where = self.where(name)
            if where is None or value == (self.environment.get(name) or self.file.get(name)):
                continue
            if name in _MODEL:
                lines.append(f"{name} of {where} is not used: the stand-in answers without {MODEL_ENDPOINT}")
            elif name in _PART_OF:
                part = _PART_OF[name]
                lines.append(f"{name} of {where} is not used: the local {part} runs; --only can leave it out")
            else:
                lines.append(f"{name} of {where} is not used: it is {value} here")
        return settings, lines


def _values(path: Path) -> dict[str, str]:
    try:
        return values_of(path) if path.is_file() else {}
    except SettingError:
        return {}
