"""Stand-in model of a platform, told what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.plain_http import plain_http

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.integration_tests.platform import Platform


def tell_model(platform: Platform, what: str, **told: object) -> None:
    """Tell the model what to do: `faults` that it has, `answers` that it gives."""
    _ask(platform, "POST", what, told)


def heal_model(platform: Platform, *told: str) -> None:
    """Let the model forget its faults or its answers; where none is named both: it answers by itself."""
    for what in told or ("faults", "answers"):
        _ask(platform, "DELETE", what, None)


def _ask(platform: Platform, method: str, what: str, told: Mapping[str, object] | None) -> None:
    url = f"{platform.addresses['llm']}/_local/{what}"
    plain_http.request(method, url, json=told, timeout=30).raise_for_status()
