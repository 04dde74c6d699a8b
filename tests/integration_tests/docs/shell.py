"""A page's blocks in one shell, as its reader would paste them, one after the other."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.integration_tests.docs.pages import Block

_SECONDS = 90.0
_PRELUDE = """\
set -euo pipefail
. .local/env.sh
curl() {
  local code=0 status
  command curl -sS --max-time 30 -D "$_record/head" "$@" || code=$?
  status=$(awk '/^HTTP\\//{s=$2} END{print s+0}' "$_record/head")
  echo "$_step $status" >> "$_record/statuses"
  if [ -n "$_expected" ]; then [ "$status" = "$_expected" ]; else [ "$status" -lt 400 ] && return $code; fi
}
"""
"""It ends with the first command that fails, or request that is refused, unless the page says so."""

_FOREGROUND = """\
( exec {command} ) &
_child=$!
until [ -s "$_record/$_step.out" ]; do kill -0 $_child; sleep 0.05; done
kill -TERM $_child
wait $_child
"""
_COMMENT = re.compile(r"(?:^|\s)# ((?:[1-5]\d\d\b|[{\[]).*)$")
_STATUS = re.compile(r"([1-5]\d\d)\b\s*")


@dataclass(frozen=True, slots=True)
class Step:
    """One command with what the page says that comes of it."""

    place: str
    command: str
    status: str = ""
    answer: str = ""


def run_page(blocks: Sequence[Block], tree: Path, record: Path) -> None:
    """Run the blocks in the tree and compare what they print with what the page shows.

    Raises:
        AssertionError: A command fails, or is answered otherwise than the page says.
    """
    record.mkdir()
    steps_by_block = [(block, list(_steps(block))) for block in blocks]
    steps = [step for _, own in steps_by_block for step in own]
    script = _PRELUDE + "".join(_lines(number, step) for number, step in enumerate(steps))
    code, said = _run(script, tree, record)
    outputs = [path.read_text() for path in (record / f"{n}.out" for n in range(len(steps))) if path.exists()]
    reached = steps[len(outputs) - 1] if outputs else steps[0]
    assert code == 0, (
        f"{reached.place}: exit code {code}\n{reached.command}\n{outputs[-1] if outputs else ''}\n{said}"
    )
    _check_statuses(steps, record / "statuses")
    for step, output in zip(steps, outputs, strict=True):
        assert matches(step.answer, output), (
            f"{step.place}: the page shows\n{step.answer}\nbut it is\n{output}"
        )
    for block, own in steps_by_block:
        printed = "".join(outputs[: len(own)])
        outputs = outputs[len(own) :]
        shown = block.answer or ""
        assert matches(shown, printed), f"{block.place}: the page shows\n{shown}\nbut it is\n{printed}"


def matches(shown: str, printed: str) -> bool:
    """Compare without blanks; `...` stands for anything.

    Of an answer with its head each line that is shown has to be there.
    """
    if shown.startswith("HTTP/"):
        head, _, body = shown.partition("\n\n")
        got_head, _, got_body = printed.replace("\r", "").partition("\n\n")
        got_lines = got_head.splitlines()
        in_head = all(any(_is_like(line, got) for got in got_lines) for line in head.splitlines())
        return in_head and matches(body, got_body)
    return not shown or _is_like(shown, printed)


def split_commands(text: str) -> Iterator[tuple[int, str]]:
    """Give each whole command with the number of its first line; the shell decides where one ends."""
    begun: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines()):
        if not begun:
            first = number
        begun.append(line)
        if _is_whole("\n".join(begun)):
            yield first, "\n".join(begun)
            begun = []
    assert not begun, f"a command that does not end: {begun}"


def _steps(block: Block) -> Iterator[Step]:
    if block.language == "python":
        program = f"{sys.executable} - <<'END-OF-PROGRAM'\n{block.text}\nEND-OF-PROGRAM"
        yield Step(block.place, program)
        return
    if block.words == "foreground":
        yield Step(block.place, _FOREGROUND.format(command=block.text))
        return
    waiting: Step | None = None
    for number, command in split_commands(block.text):
        place = f"{block.page}:{block.line + 1 + number}"
        is_comment = command.lstrip().startswith("#") or not command.strip()
        if not is_comment:
            if waiting is not None:
                yield waiting
            waiting = Step(place, command)
        said = _COMMENT.search(command.splitlines()[-1]) if command.strip() else None
        if waiting is not None and said is not None:
            waiting = _with_answer(waiting, said[1])
        elif waiting is not None and is_comment and waiting.answer and command.strip():
            waiting = _with_answer(waiting, command.lstrip("# "))
    if waiting is not None:
        yield waiting


def _with_answer(step: Step, said: str) -> Step:
    status = _STATUS.match(said) if not step.answer else None
    words = said[status.end() :] if status else said
    return Step(step.place, step.command, status[1] if status else step.status, f"{step.answer}{words}")


def _lines(number: int, step: Step) -> str:
    return f'_step={number} _expected={step.status}\nexec > "$_record/{number}.out"\n{step.command}\n'


def _run(script: str, tree: Path, record: Path) -> tuple[int, str]:
    with (record / "stderr").open("w+") as stderr:
        shell = subprocess.Popen(  # noqa: S603  # what our own page says
            ["bash", "-c", script],  # noqa: S607  # whichever bash
            cwd=tree,
            env=_environment() | {"_record": str(record)},
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
            start_new_session=True,
        )
        try:
            code = shell.wait(_SECONDS)
        finally:
            _end_group(shell.pid)
        stderr.seek(0)
        return code, stderr.read()


def _environment() -> dict[str, str]:
    """Leave out what a developer's own shell may have set: the page has its variables from one file."""
    own = ("TENANTRY_", "AZURE_", "ADMIN_API_KEY", "COV_", "MAKE")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}


def _end_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _check_statuses(steps: Sequence[Step], file: Path) -> None:
    """See each request's status again: a shell forgives some, such as those of a condition."""
    for line in file.read_text().splitlines() if file.exists() else ():
        number, status = line.split()
        step = steps[int(number)]
        good = status == step.status if step.status else int(status) < 400
        assert good, f"{step.place}: answered {status}\n{step.command}"


def _is_whole(text: str) -> bool:
    checked = subprocess.run(  # noqa: S603  # reads, runs nothing
        ["bash", "-n", "-c", text],  # noqa: S607  # whichever bash
        capture_output=True,
        text=True,
        check=False,
    )
    return checked.returncode == 0 and not checked.stderr and not text.endswith("\\")


def _is_like(shown: str, printed: str) -> bool:
    pieces = (re.escape(re.sub(r"\s", "", piece)) for piece in shown.split("..."))
    return re.fullmatch(".*".join(pieces), re.sub(r"\s", "", printed), re.DOTALL) is not None
