"""Errors of blob stores."""

from __future__ import annotations

from shared.errors import NotFoundError


class BlobNotFoundError(NotFoundError):
    """No blob of this name is the tenant's."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Blob '{name}' not found", {"name": name})
