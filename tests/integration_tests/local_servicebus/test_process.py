"""The endpoint as a process: how it starts, refuses to, and ends."""

from __future__ import annotations

import contextlib
import resource
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import ServiceBusError

from tests.integration_tests.local_servicebus.conftest import Sdk
from tests.integration_tests.local_servicebus.endpoint import Endpoint, running, write_config

if TYPE_CHECKING:
    from pathlib import Path


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "local.servicebus", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 - our own


def test_a_taken_port_is_one_clear_line_and_exit_code_2(endpoint: Endpoint, tmp_path: Path) -> None:
    done = run("--port", str(endpoint.port), "--data-dir", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"port {endpoint.port}" in done.stderr


def test_a_broken_config_is_one_clear_line_and_exit_code_1(tmp_path: Path) -> None:
    path = tmp_path / "Config.json"
    path.write_text("{}")
    done = run("--port", "0", "--data-dir", str(tmp_path), "--config", str(path))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


def test_a_folder_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with running(tmp_path):
        done = run(
            "--port", "0", "--data-dir", str(tmp_path / "data"), "--config", str(write_config(tmp_path))
        )
    assert done.returncode == 1
    assert "cannot be opened" in done.stderr


def test_sigterm_and_the_end_of_stdin_both_end_it_with_0(tmp_path: Path) -> None:
    with running(tmp_path) as endpoint:
        endpoint.process.send_signal(signal.SIGTERM)
        assert endpoint.process.wait(timeout=10) == 0
    with running(tmp_path) as endpoint:
        pass
    assert endpoint.process.returncode == 0


def test_a_client_without_sasl_is_shown_the_sasl_header_and_cut_off(endpoint: Endpoint) -> None:
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=5) as client:
        client.sendall(b"AMQP\x00\x01\x00\x00")
        assert client.recv(100) == b"AMQP\x03\x01\x00\x00"
        assert client.recv(100) == b""


def test_dropped_connections_are_closed_at_once(endpoint: Endpoint) -> None:
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=5) as client:
        client.sendall(b"AMQP\x03\x01\x00\x00")
        client.recv(100)
        assert endpoint.admin("GET", "/status")["connections"] >= 1
        endpoint.admin("POST", "/faults", {"kind": "drop-connections"})
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(100) == b""


async def test_a_full_disk_ends_it_with_the_reason_for_operator_and_client(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The limit on the size of its files stands for the disk; the SDK logs why a connection was closed."""
    with running(tmp_path) as endpoint:
        async with Sdk(endpoint, is_async=True) as sdk:
            sender = await sdk.sender("plain")
            await sender.send_messages(ServiceBusMessage("stored"))
            resource.prlimit(endpoint.process.pid, resource.RLIMIT_FSIZE, (100_000, 100_000))
            with pytest.raises(ServiceBusError):
                await sender.send_messages(ServiceBusMessage("x" * 200_000))
        assert endpoint.process.wait(timeout=10) == 1
    said = next(line for line in capfd.readouterr().err.splitlines() if "cannot be written" in line)
    assert str(tmp_path / "data" / "servicebus.sqlite3") in said
    assert said.removeprefix("servicebus: ") in caplog.text
    with running(tmp_path) as endpoint:
        assert endpoint.depth("plain")["active"] == 1


def test_the_data_is_its_owners_alone_also_where_it_was_not_before(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    for name in ("servicebus.sqlite3", "servicebus.sqlite3-wal"):
        (folder / name).touch(0o644)
    with running(tmp_path):
        modes = {path.name: path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())}
    assert modes == {"data": 0o700, "servicebus.sqlite3": 0o600, "servicebus.sqlite3-wal": 0o600}
