"""Errors of the app's own operation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.errors import APIError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shared.errors import JsonValue


class NotReadyError(APIError):
    """The app cannot do its work: dependencies are down or not configured; `detail` has the state of each."""

    status = 503
    transient = True
    is_outage = True

    def __init__(self, down: Sequence[str], dependencies: Sequence[Mapping[str, JsonValue]]) -> None:
        super().__init__(
            f"Not ready: {', '.join(down)}", {"dependencies": list(dependencies)}, retry_after=1.0
        )
