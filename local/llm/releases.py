"""The releases behind the models' names, which OpenAI's answers name and this endpoint's may."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

_DATED = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "gpt-5-nano": "gpt-5-nano-2025-08-07",
    "o3": "o3-2025-04-16",
    "o4-mini": "o4-mini-2025-04-16",
    "gpt-4": "gpt-4-0613",
    "gpt-35-turbo": "gpt-35-turbo-0125",
    "gpt-3.5-turbo": "gpt-3.5-turbo-0125",
    "text-embedding-ada-002": "text-embedding-ada-002-v2",
}


class Release(BaseModel):
    """The release that answers name in place of a model; without both, of each model its dated one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = None
    release: str | None = None

    @model_validator(mode="after")
    def _names_both_or_neither(self) -> Self:
        if (self.model is None) != (self.release is None):
            raise ValueError("model and release belong together")
        return self


class Releases:
    """The names of models in answers: those that were asked for, unless something else is said."""

    def __init__(self, *, dated: bool = False) -> None:
        self._at_first = dated
        self._releases: dict[str, str] = {}
        self.clear()

    def put(self, release: Release) -> None:
        """Name a release from now on."""
        if release.model is None or release.release is None:
            self._releases |= _DATED
        else:
            self._releases[release.model] = release.release

    def clear(self) -> None:
        """Name again what was named at the start."""
        self._releases = dict(_DATED) if self._at_first else {}

    def listed(self) -> dict[str, str]:
        """List the releases by their models."""
        return dict(self._releases)

    def reported(self, model: str) -> str:
        """Return what an answer of a model names."""
        return self._releases.get(model, model)
