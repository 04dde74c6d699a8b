"""Importing the app does no work: no SDK, no socket, no file of its own, even with an empty environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROGRAM = """
import gc
import sys

opened = []
watched = ("socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen")
sys.addaudithook(lambda event, args: opened.append((event, args)) if event in watched else None)
writes = []
def on_open(event, args):
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        writes.append(args[0])
sys.addaudithook(on_open)

import function_app

azure = ("azure.cosmos", "azure.servicebus", "azure.storage", "azure.identity")
heavy = (*azure, "openai", "tiktoken", "aiohttp", "jwt")
loaded = [name for name in heavy if name in sys.modules]
assert not loaded, f"imported SDKs: {loaded}"
assert not opened, f"did I/O: {opened}"
assert not writes, f"wrote: {writes}"
assert function_app.runtime.routes
assert gc.get_threshold()[0] == 20_000
"""


@pytest.mark.slow
def test_importing_the_app_with_an_empty_environment_does_no_io_and_imports_no_sdk() -> None:
    done = subprocess.run(  # noqa: S603  # our own interpreter and program
        [sys.executable, "-B", "-c", PROGRAM],
        cwd=ROOT,
        env={},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
