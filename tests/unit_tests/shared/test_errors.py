"""Each error says whether the same request may succeed later, and whether an outage is behind it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from shared.errors import APIError

ROOT = Path(__file__).parents[3]


def families(error: type[APIError]) -> set[type[APIError]]:
    return {error}.union(*(families(child) for child in error.__subclasses__()))


def declared() -> list[type[APIError]]:
    """Return every error of the app; a module that declares some is imported."""
    for folder in ("shared", "functions"):
        for file in (ROOT / folder).rglob("*.py"):
            if "Error(" in file.read_text():
                import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
    app = (error for error in families(APIError) if error.__module__.startswith(("shared.", "functions.")))
    return sorted(app, key=lambda error: error.__qualname__)


@pytest.mark.parametrize("error", declared())
def test_what_the_caller_is_told_to_try_again_is_what_a_queue_delivers_again(error: type[APIError]) -> None:
    if error is APIError:
        return  # it is raised by nobody: each error says what it is
    assert error.transient == (error.status == 429 or error.status >= 500)
    assert error.is_outage == (error.status in {503, 504})
