"""Errors of the catalogue of models."""

from __future__ import annotations

from shared.errors import NotFoundError


class ModelEntryNotFoundError(NotFoundError):
    """Nothing is stored in the catalogue under this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"No model '{name}' is stored", {"model": name})
