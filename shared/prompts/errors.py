"""Errors of prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.errors import NotFoundError

if TYPE_CHECKING:
    from shared.errors import JsonValue


class PromptNotFoundError(NotFoundError):
    """No such prompt, or no such version or label of it, for this tenant."""

    def __init__(self, name: str, version: int | None = None, label: str | None = None) -> None:
        which = "" if version is None else f" in version {version}"
        which += "" if label is None else f" with the label '{label}'"
        detail: dict[str, JsonValue] = {"name": name, "version": version}
        super().__init__(
            f"Prompt '{name}'{which} not found", detail if label is None else detail | {"label": label}
        )
