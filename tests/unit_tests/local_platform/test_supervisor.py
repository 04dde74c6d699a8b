"""The supervisor with parts that do nothing: starts, says ready, notices deaths, leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from local.__main__ import main
from local.supervisor.addresses import app_settings, ready_line
from local.supervisor.child import PartDiedError, PartSilentError
from local.supervisor.lock import DataFolderError, DataFolderInUseError, locked
from local.supervisor.options import ROOT, Options, parse
from local.supervisor.parts import PLATFORM, Part, Platform, instances
from local.supervisor.platform import Patience, PortError, Supervisor, check_ports
from local.supervisor.probe import until_answers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FREE = dict.fromkeys(("host", "cosmos", "servicebus", "llm", "azurite"), 0)


def fake(name: str, folder: Path, how: str = "works") -> Part:
    def line(_: Options, port: int) -> list[str]:
        module = "tests.unit_tests.local_platform.fake_part"
        return [sys.executable, "-m", module, name, str(port), str(folder), how]

    return Part(name, line, grace_seconds=5.0)


def platform(folder: Path, **how: str) -> Platform:
    return Platform(
        below=tuple(fake(name, folder, how.get(name, "works")) for name in ("cosmos", "llm")),
        host=fake("host", folder, how.get("host", "works")),
    )


class Run:
    """One supervisor's life in this process."""

    def __init__(self, folder: Path, built: Platform, **changes: object) -> None:
        self.folder = folder
        only = frozenset({"host", "cosmos", "llm"})
        options = Options(ports=FREE, data_dir=folder, only=only)
        self.options = replace(options, **changes)  # type: ignore[arg-type]  # the test names the fields
        self.platform = built
        self.told = asyncio.Event()
        self.said: list[str] = []

    async def until(self, then: Callable[[], object], patience: Patience | None = None) -> None:
        def say(line: str) -> None:
            self.said.append(line)
            then()

        lock = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR)
        try:
            supervisor = Supervisor(self.options, self.platform, lock=lock, patience=patience)
            await supervisor.run(self.told, say)
        finally:
            os.close(lock)

    def pids(self, name: str) -> list[int]:
        starts = self.folder / name
        return [int(line) for line in starts.read_text().split()] if starts.exists() else []


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.slow
async def test_ready_is_said_once_everything_answers_and_all_of_it_stops_when_told(tmp_path: Path) -> None:
    run = Run(tmp_path, platform(tmp_path))

    await run.until(run.told.set)

    addresses = json.loads(run.said[0].removeprefix("ready "))
    assert set(addresses) == {"app", "cosmos", "llm"}
    assert all(gone(pid) for name in ("host", "cosmos", "llm") for pid in run.pids(name))


async def test_only_what_was_asked_for_is_started(tmp_path: Path) -> None:
    run = Run(tmp_path, platform(tmp_path), only=frozenset({"cosmos"}))

    await run.until(run.told.set)

    assert not (tmp_path / "host").exists()
    assert not (tmp_path / "llm").exists()


@pytest.mark.parametrize("name", ["cosmos", "host"])
@pytest.mark.slow
async def test_a_part_that_dies_stops_everything_and_is_named(tmp_path: Path, name: str) -> None:
    run = Run(tmp_path, platform(tmp_path, **{name: "dies"}))

    with pytest.raises(PartDiedError, match=f"{name} ended with exit code 7"):
        await run.until(lambda: None)
    assert run.said == []
    assert all(gone(pid) for pid in run.pids("llm"))


@pytest.mark.slow
async def test_a_part_that_dies_later_stops_everything_too(tmp_path: Path) -> None:
    run = Run(tmp_path, platform(tmp_path))

    def kill_cosmos() -> None:
        os.kill(run.pids("cosmos")[0], signal.SIGKILL)

    with pytest.raises(PartDiedError, match="cosmos was killed by signal 9"):
        await run.until(kill_cosmos)
    assert all(gone(pid) for pid in run.pids("host"))


@pytest.mark.slow
async def test_a_part_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    run = Run(tmp_path, platform(tmp_path, llm="silent"), only=frozenset({"llm"}))

    with pytest.raises(PartSilentError, match="llm does not answer"):
        await run.until(lambda: None, Patience(start=1.0))


@pytest.mark.slow
async def test_a_part_that_ignores_the_end_is_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deaf = replace(fake("cosmos", tmp_path, "deaf"), grace_seconds=0.5)
    run = Run(tmp_path, Platform(below=(deaf,), host=fake("host", tmp_path)), only=frozenset({"cosmos"}))

    await run.until(run.told.set)

    assert gone(run.pids("cosmos")[0])
    assert "cosmos did not stop within" in capsys.readouterr().err


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.slow
async def test_an_instance_that_dies_is_started_again_and_meanwhile_nobody_is_refused(
    tmp_path: Path, count: int
) -> None:
    run = Run(tmp_path, platform(tmp_path), instances=count)

    async def kill_all_ask_and_wait() -> None:
        port = json.loads(run.said[0].removeprefix("ready "))["app"].rpartition(":")[2]
        for pid in run.pids("host"):
            os.kill(pid, signal.SIGKILL)
            while not gone(pid):  # noqa: ASYNC110  # another process ends
                await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert b" 200 " in await reader.readline()
        writer.close()
        while len(run.pids("host")) < 2 * count:  # noqa: ASYNC110  # another process writes the file
            await asyncio.sleep(0.02)
        run.told.set()

    tasks: list[asyncio.Task[None]] = []
    await run.until(lambda: tasks.append(asyncio.create_task(kill_all_ask_and_wait())))

    await tasks[0]
    assert len(run.pids("host")) == 2 * count
    assert all(gone(pid) for pid in run.pids("host"))


@pytest.mark.slow
async def test_an_instance_that_dies_again_and_again_is_given_up(tmp_path: Path) -> None:
    run = Run(tmp_path, platform(tmp_path, host="works once"))

    with pytest.raises(PartDiedError, match="host ended with exit code 7"):
        await run.until(
            lambda: os.kill(run.pids("host")[0], signal.SIGKILL),
            Patience(restart_pause=0, failed_restarts=2, quick_death=60),
        )
    assert len(run.pids("host")) == 3


def test_timers_run_on_the_first_instance_only() -> None:
    lines = [part.line(Options(), 80) for part in instances(PLATFORM.host, 3, listening=9)]

    assert [line[-1] for line in lines] == ["on", "off", "off"]
    assert all(line[-4:-2] == ["--listen-fd", "9"] for line in lines)


def test_every_part_is_started_with_its_port_and_folder(tmp_path: Path) -> None:
    options = Options(data_dir=tmp_path)

    for part in (*PLATFORM.below, PLATFORM.host):
        line = part.line(options, 4711)
        assert line[:2] == [sys.executable, "-m"]
        assert line[line.index("--port") + 1] == "4711"
        assert line[line.index("--data-dir") + 1].startswith(str(tmp_path))


def test_the_app_is_led_to_the_parts_that_run_and_keeps_its_settings_for_the_others(tmp_path: Path) -> None:
    everything = app_settings({"cosmos": 1, "servicebus": 2, "azurite": 3, "llm": 4}, tmp_path)

    assert everything["COSMOS_ENDPOINT"] == "http://localhost:1"
    assert "sb://localhost:2" in everything["SERVICEBUS"]
    assert ":3/devstoreaccount1" in everything["STORAGE"]
    assert everything["AZURE_OPENAI_ENDPOINT"] == "http://localhost:4"
    assert set(app_settings({}, tmp_path)) == {"LOG_DIR"}
    assert ready_line({"host": 7, "azurite": 3})["app"] == "http://localhost:7"


def test_a_busy_port_is_named_with_the_option_that_chooses_another() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(PortError, match=rf"cosmos: port {port} is already in use.*--cosmos-port"):
            check_ports(Options(ports=FREE | {"cosmos": port}))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--port", "70000"], "70000 is no port"),
        (["--instances", "0"], "between 1 and 64"),
        (["--only", "kitchen"], "unknown part kitchen"),
        (["--only", ","], "names no part"),
        (["--servicebus-config", "nowhere.json"], "is no file"),
        (["--app-root", "nowhere"], "is no folder"),
    ],
)
def test_what_the_command_line_cannot_mean_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)

    assert complaint in capsys.readouterr().err


def test_the_command_line_is_read() -> None:
    options = parse(["--port", "0", "--only", "host, cosmos", "--instances", "2", "--data-dir", "x"])

    assert options.ports["host"] == 0
    assert options.only == {"host", "cosmos"}
    assert (options.instances, options.data_dir.name) == (2, "x")


async def test_one_folder_holds_one_platform(tmp_path: Path) -> None:
    async with locked(tmp_path):
        with pytest.raises(DataFolderInUseError, match="in use by another local platform"):
            async with locked(tmp_path, patience_seconds=0.2):
                pass
    async with locked(tmp_path):
        pass


async def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(DataFolderError, match=r"file/data cannot be written to \(Not a directory\)"):
        async with locked(tmp_path / "file" / "data"):
            pass


async def test_an_address_that_never_answers_is_given_up() -> None:
    with pytest.raises(PartSilentError, match="does not answer 200"):
        await until_answers("http://127.0.0.1:1/", 0.3)


def run_main(folder: Path, how: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, with parts that do nothing."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from local.__main__ import main\n"
        "from tests.unit_tests.local_platform.test_supervisor import platform\n"
        f"sys.exit(main(sys.argv[1:], platform(Path({str(folder)!r}), cosmos={how!r})))\n"
    )
    return subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-c", program, "--only", "cosmos", "--cosmos-port", "0", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("how", "code", "line"),
    [
        ("dies", 1, "local: cosmos ended with exit code 7, so everything else was stopped"),
        ("lacks", 3, "Node is not on PATH"),
    ],
)
@pytest.mark.slow
def test_the_command_ends_with_one_clear_line_and_a_code(
    tmp_path: Path, how: str, code: int, line: str
) -> None:
    done = run_main(tmp_path, how, "--data-dir", str(tmp_path / "data"))

    assert done.returncode == code
    assert done.stderr.splitlines() == [line]


def test_the_command_names_a_busy_port(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        code = main(["--only", "cosmos", "--cosmos-port", port, "--data-dir", str(tmp_path)])

    assert code == 2
    assert f"local: cosmos: port {port} is already in use" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["by a SIGTERM", "by the end of stdin"])
@pytest.mark.slow
def test_the_command_is_stopped_with_0(tmp_path: Path, how: str) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from local.__main__ import main\n"
        "from tests.unit_tests.local_platform.test_supervisor import platform\n"
        f"sys.exit(main(sys.argv[1:], platform(Path({str(tmp_path)!r}))))\n"
    )
    arguments = [
        "--only",
        "cosmos",
        "--cosmos-port",
        "0",
        "--data-dir",
        str(tmp_path / "data"),
        "--until-stdin-ends",
    ]
    with subprocess.Popen(  # noqa: S603  # our own program
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready ")
        if how == "by a SIGTERM":
            process.terminate()
        else:
            process.stdin.close()
        assert process.wait(30) == 0
