"""Loading of the models' client beside the app's work."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Container

NEEDED: Final = ("aiohttp", "shared.llm.openai_client", "shared.llm.provider_http")
"""What the first call of a model in a process would load."""


async def load_models_client(
    loaded: Container[str] = sys.modules, load: Callable[[str], object] = import_module
) -> None:
    """Load it in a thread: a fifth of a second for which the first call would hold the event loop.

    Args:
        loaded: The modules that the process has.
        load: Loads one.
    """
    for name in NEEDED:
        if name not in loaded:
            await asyncio.to_thread(load, name)
