"""Refusals of the console's routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.errors import APIError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence


class AssetNotFoundError(NotFoundError):
    """The console has no such file in this release: the page that asks for it is to be loaded again."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"The console has no file '{path[:200]}' in this release; load the page again",
            {"path": path[:200]},
        )


class ConsoleNotInstalledError(APIError):
    """The libraries that the console is built on were not put beside it by the set-up."""

    status = 503
    transient = True
    is_outage = True

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__(
            f"The console is not installed, run make setup: {', '.join(missing)}", {"missing": list(missing)}
        )
