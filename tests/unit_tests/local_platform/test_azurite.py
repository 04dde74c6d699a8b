"""Claims about running Azurite as a child, with small scripts in the place of Node."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from local.azurite.child import Azurite, AzuriteStoppedError, command
from local.azurite.node import NotInstalledError, find_launcher, find_node


def _script(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def _python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_no_node_is_named_with_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(NotInstalledError, match=r"Node is not on PATH.*20 or newer.*apt install"):
        find_node(str(tmp_path))


def test_a_node_that_is_too_old_is_refused_with_its_version(tmp_path: Path) -> None:
    node = _script(tmp_path, "node", "echo v18.20.4")
    with pytest.raises(NotInstalledError, match=rf"{node} is Node 18\.20\.4, which is too old"):
        find_node(str(tmp_path))


def test_something_else_called_node_is_refused_with_what_it_said(tmp_path: Path) -> None:
    _script(tmp_path, "node", "echo packet radio >&2; exit 1")
    with pytest.raises(NotInstalledError, match=r"does not say its version \(packet radio\)"):
        find_node(str(tmp_path))


@pytest.mark.parametrize("version", ["v20.0.0", "v22.11.0", "v100.1.0"])
def test_a_node_that_is_new_enough_is_taken(tmp_path: Path, version: str) -> None:
    node = _script(tmp_path, "node", f"echo {version}")
    assert find_node(str(tmp_path)) == str(node)


def test_an_azurite_that_npm_did_not_install_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotInstalledError, match="npm ci --prefix"):
        find_launcher(tmp_path)


def test_an_installed_azurite_is_found(tmp_path: Path) -> None:
    package = tmp_path / "node_modules" / "azurite" / "package.json"
    package.parent.mkdir(parents=True)
    package.touch()
    assert find_launcher(tmp_path) == tmp_path / "launch.cjs"


def test_it_serves_loopback_only_and_reports_to_nobody() -> None:
    line = command("node", Path("launch.cjs"), 10000, Path("data"))
    assert line[line.index("--blobHost") + 1] == "127.0.0.1"
    assert {"--disableTelemetry", "--skipApiVersionCheck"} <= set(line)


async def test_it_listens_where_it_says_that_it_listens(capfd: pytest.CaptureFixture[str]) -> None:
    azurite = await Azurite.start(
        _python(
            "import sys\n"
            "print('Azurite Blob service successfully listens on http://127.0.0.1:4321', flush=True)\n"
            "sys.stdin.read()"
        )
    )
    assert await azurite.listening() == 4321
    await azurite.stop()
    captured = capfd.readouterr()
    assert captured.out == "", "stdout is the contract's"
    assert "successfully listens" in captured.err


async def test_an_azurite_that_ends_before_it_listens_says_why() -> None:
    azurite = await Azurite.start(_python("import sys; sys.exit('Exit due to unhandled error: no disk')"))
    with pytest.raises(AzuriteStoppedError, match=r"exit code 1: Exit due to unhandled error: no disk"):
        await azurite.listening()
    await azurite.stop()


async def test_an_azurite_that_is_killed_is_reported() -> None:
    azurite = await Azurite.start(_python("import sys; sys.stdin.read()"))
    os.kill(azurite.pid, 9)
    assert "exit code -9" in str(await asyncio.wait_for(azurite.ended(), 10))
    await azurite.stop()


async def test_waiting_for_it_can_be_given_up() -> None:
    azurite = await Azurite.start(_python("import sys; sys.stdin.read()"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(azurite.listening(), 0.05)
    await azurite.stop()


async def test_an_azurite_that_does_not_stop_when_told_is_killed() -> None:
    azurite = await Azurite.start(
        _python(
            "import signal, sys, time\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "print('successfully listens on http://127.0.0.1:1', flush=True)\n"
            "time.sleep(60)"
        ),
        grace_seconds=0.1,
    )
    await azurite.listening()
    await azurite.stop()
    assert "exit code -9" in str(await azurite.ended())
