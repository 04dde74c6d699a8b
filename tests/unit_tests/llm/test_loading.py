"""The models' client is loaded beside the event loop."""

from __future__ import annotations

import threading
from importlib.util import find_spec

from shared.llm.loading import NEEDED, load_models_client


async def test_the_client_is_loaded_in_a_thread_of_its_own_and_once() -> None:
    told: list[tuple[str, bool]] = []

    def load(name: str) -> None:
        told.append((name, threading.current_thread() is threading.main_thread()))

    await load_models_client(set(NEEDED[1:]), load)
    assert told == [(NEEDED[0], False)]
    await load_models_client(NEEDED, load)
    assert len(told) == 1


def test_what_is_loaded_exists() -> None:
    assert all(find_spec(name) for name in NEEDED)
