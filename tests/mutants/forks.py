"""Children of one process that has imported what all need: each begins in milliseconds, and ends in time."""

from __future__ import annotations

import os
import resource
import selectors
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_MOST_BYTES = 6 * 2**30
TIMED_OUT = -int(signal.SIGALRM)
"""The status of a child that was ended for its time."""


@dataclass(frozen=True, slots=True)
class Job:
    """Work for one child.

    Attributes:
        name: Whom the outcome is about.
        work: What it runs; what it returns is the child's exit status.
        output: The file that gets what it writes.
        cpu_seconds: The most that it may compute.
        wall_seconds: The most that it may take.
    """

    name: str
    work: Callable[[], int]
    output: Path
    cpu_seconds: float
    wall_seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a child ended: its exit status, or the negative number of the signal that ended it."""

    job: Job
    status: int
    seconds: float


def run_forked(jobs: Iterable[Job], at_once: int) -> Iterator[Outcome]:
    """Run jobs in children, so many at once; yield each outcome as it comes."""
    waiting = iter(jobs)
    with selectors.DefaultSelector() as ends:
        running: dict[int, tuple[Job, int, float]] = {}
        is_over = False
        while running or not is_over:
            while not is_over and len(running) < at_once:
                job = next(waiting, None)
                is_over = job is None
                if job is not None:
                    handle, pid = _start(job)
                    running[handle] = (job, pid, time.monotonic())
                    ends.register(handle, selectors.EVENT_READ)
            for key, _ in ends.select(timeout=1.0):
                yield _finish(ends, running, key.fd, None)
            now = time.monotonic()
            for handle, (job, pid, since) in list(running.items()):
                if now - since > job.wall_seconds:
                    with suppress(ProcessLookupError):
                        os.killpg(pid, signal.SIGKILL)
                    yield _finish(ends, running, handle, TIMED_OUT)


def _finish(
    ends: selectors.BaseSelector,
    running: dict[int, tuple[Job, int, float]],
    handle: int,
    status: int | None,
) -> Outcome:
    job, pid, since = running.pop(handle)
    ends.unregister(handle)
    os.close(handle)
    _, ended = os.waitpid(pid, 0)
    with suppress(ProcessLookupError):  # what it started ends with it
        os.killpg(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(ended)
    if code == -signal.SIGXCPU:
        code = TIMED_OUT
    return Outcome(job, code if status is None else status, time.monotonic() - since)


def _start(job: Job) -> tuple[int, int]:
    pid = os.fork()
    if pid:
        return os.pidfd_open(pid), pid
    status = 70
    try:
        os.setsid()
        file = os.open(job.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        computing = int(job.cpu_seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (computing, computing + 5))
        resource.setrlimit(resource.RLIMIT_DATA, (_MOST_BYTES, _MOST_BYTES))
        status = job.work()
    except BaseException:  # noqa: BLE001  # the edge of a child: whatever it is ends the child, with its trace
        traceback.print_exc(file=sys.__stderr__)
    finally:
        with suppress(Exception):  # a child is never more than a child, whatever became of its output
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
