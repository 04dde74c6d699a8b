"""Loaders of bot configurations: a function, an async function, or an object with a method `load`.

A loader says that there is no such bot by None, a LookupError or a FileNotFoundError. Whatever else it ends
in is its own failure: a bot that was loaded before goes on with the configuration that it has.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Protocol

from functions.chat.bots.configuration import BotConfig
from functions.chat.bots.errors import BotCreationError, BotNotFoundError
from functions.chat.bots.stored_models import StoredBotConfig
from shared.errors import APIError, DependencyTimeoutError, DependencyUnavailableError, ValidationError
from shared.validation import validate_input

if TYPE_CHECKING:
    from typing import Any

LOAD_SECONDS = 10.0
_THREADS = 4
"""So many loaders that block can be at work at once; a fifth waits for one of them."""

type Configuration = Mapping[str, Any]
type LoadFunction = Callable[[str], Configuration | Awaitable[Configuration | None] | None]


class LoadsConfigurations(Protocol):
    """Loader with a method, synchronous or not."""

    def load(self, bot_id: str) -> Configuration | Awaitable[Configuration | None] | None:
        """Return a bot's configuration."""
        ...


type ConfigLoader = LoadFunction | LoadsConfigurations


def read_configuration(configuration: Configuration) -> StoredBotConfig:
    """Check a configuration as `PUT /bots/{bot_id}` does.

    Raises:
        ValidationError: It is none; `detail` names the fields.
    """
    checked = validate_input(lambda: BotConfig.model_validate(configuration), "configuration", "config")
    return StoredBotConfig.model_validate(checked.model_dump())


class LoaderCall:
    """A caller's loader, called for a bounded time, and off the loop where it blocks.

    Args:
        loader: The loader.
        seconds: How long it may take. A thread that blocks for longer cannot be ended, and stays one of the
            few until it returns.
    """

    def __init__(self, loader: ConfigLoader, seconds: float = LOAD_SECONDS) -> None:
        self._load: LoadFunction = loader if callable(loader) else loader.load
        self._is_async: bool = inspect.iscoroutinefunction(self._load)
        self._seconds = seconds
        self._threads = ThreadPoolExecutor(_THREADS, "bot-loader")

    async def load(self, bot_id: str) -> StoredBotConfig:
        """Return a bot's configuration.

        Raises:
            BotNotFoundError: The loader knows no such bot.
            BotCreationError: What it gives is no configuration.
            DependencyUnavailableError: It failed.
            DependencyTimeoutError: It took too long.
        """
        try:
            async with asyncio.timeout(self._seconds):
                found = await self._call(bot_id)
        except APIError:
            raise
        except TimeoutError as error:
            raise DependencyTimeoutError("The loader of bots", self._seconds) from error
        except (LookupError, FileNotFoundError) as error:
            raise BotNotFoundError(bot_id) from error
        except ValueError as error:
            raise BotCreationError(bot_id, "its loader knows no configuration for it") from error
        except Exception as error:  # the loader is the caller's own code: this is its edge
            raise DependencyUnavailableError("The loader of bots") from error
        if found is None:
            raise BotNotFoundError(bot_id)
        try:
            return read_configuration(found)
        except ValidationError as error:
            raise BotCreationError(bot_id, error.message) from error

    async def _call(self, bot_id: str) -> Configuration | None:
        found: Configuration | Awaitable[Configuration | None] | None
        if self._is_async:
            found = self._load(bot_id)
        else:
            load = partial(copy_context().run, self._load, bot_id)
            found = await asyncio.get_running_loop().run_in_executor(self._threads, load)
        return await found if isinstance(found, Awaitable) else found
