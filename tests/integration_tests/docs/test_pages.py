"""Every page's commands run, in order, on the demo platform, and are answered as the page shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.integration_tests.docs.pages import LANGUAGES, Block, blocks_of, folder_of, pages, prose_of
from tests.integration_tests.docs.shell import matches, run_page, split_commands
from tests.support.working_copy import ROOT

if TYPE_CHECKING:
    from pathlib import Path

RUN_BY = {
    "docs/client.md": "tests/integration_tests/client/test_wheel.py",
    "docs/cosmos-client.md": "tests/integration_tests/client/test_wheel.py",
    "docs/contributing.md": "tests/integration_tests/docs/test_recipe.py",
}
"""Pages that a test of their own runs."""

ALL = [block for page in pages() for block in blocks_of(page)]
RUNNING = sorted({block.page for block in ALL if block.runs and block.page not in RUN_BY})


@pytest.mark.slow(180)
@pytest.mark.parametrize("page", RUNNING)
def test_a_pages_commands_do_what_the_page_shows(page: str, demo: Path, tmp_path: Path) -> None:
    run_page([block for block in blocks_of(page) if block.runs], demo, tmp_path / "record")


def test_each_command_that_is_not_run_says_why() -> None:
    unrun = [block for block in ALL if block.language == "sh" and not block.runs]

    print(*(f"{block.place}: not run: {block.reason}" for block in unrun), sep="\n")  # noqa: T201  # the list
    assert [block.place for block in unrun if not block.reason] == []


def test_no_program_is_left_out_unless_it_is_a_fragment_or_a_file() -> None:
    odd = [b for b in ALL if b.language == "python" and b.words not in {"", "fragment"} and not _is_file(b)]
    odd += [b for b in ALL if b.language == "js" and not _is_file(b)]

    assert [block.place for block in odd] == []


def test_a_program_that_is_a_file_of_the_tree_is_its_text() -> None:
    shown = [block for block in ALL if block.language in {"python", "js"} and _is_file(block)]

    for block in (one for one in shown if one.page not in RUN_BY):
        assert (ROOT / block.words).read_text() == f"{block.text}\n", block.place


def test_no_command_hides_behind_another_language() -> None:
    """A fence without one is an answer, right behind what is answered."""
    assert [b.place for b in ALL if b.language not in LANGUAGES] == []
    assert [b.place for b in ALL if not b.language and not b.is_answer] == []


def test_a_page_that_another_test_runs_is_named_there() -> None:
    for page, test in RUN_BY.items():
        if (ROOT / page).exists():
            assert page in (ROOT / test).read_text(), page


@pytest.mark.parametrize("page", pages())
def test_what_a_page_links_to_is_there(page: str) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose_of(page))
    here = [link for link in links if not re.match(r"[a-z]+:", link)]

    assert [link for link in here if not (folder_of(page) / link).exists()] == []


@pytest.mark.parametrize("page", pages())
def test_what_a_page_tells_to_run_is_there(page: str) -> None:
    """A command in a sentence is not run; what it names is there to be run."""
    spans = re.findall(r"`([^`\n]+)`", prose_of(page))
    targets = _make_targets()
    written = {block.words for block in blocks_of(page)}

    for span in spans:
        for target in re.findall(r"^make ([a-z]+)", span):
            assert target in targets, span
        for module in re.findall(r"^(?:\S*/)?(?:uv run )?python -m ([a-z_.]+)", span):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), span
        for file in re.findall(
            r"(?<![\w/.{*])((?:tests|shared|functions|local|infra|docs)/[\w./-]+\.\w+)", span
        ):
            assert (ROOT / file).exists() or file in written, span


def test_a_command_goes_on_until_the_shell_takes_it_for_whole() -> None:
    text = "a=1\ncurl x \\\n  -d '{\n}'\nwhile :; do\n  echo # 1\ndone\ncat <<'E'\nit's\nE\necho"

    assert [command for _, command in split_commands(text)] == [
        "a=1",
        "curl x \\\n  -d '{\n}'",
        "while :; do\n  echo # 1\ndone",
        "cat <<'E'\nit's\nE",
        "echo",
    ]


def test_an_answer_is_compared_but_for_what_it_leaves_open() -> None:
    assert matches('{"a": 1, "b": ...}', '{"a":1,"b":[2]}\n')
    assert not matches('{"a": 1}', '{"a":2}')
    assert not matches('{"a": 1}', '{"a":1,"b":2}')
    assert matches(
        'HTTP/1.1 200 OK\nx-a: ...\n\n{"b": 1}', 'HTTP/1.1 200 OK\r\nx-c: 2\r\nx-a: 1\r\n\r\n{"b":1}'
    )
    assert not matches("HTTP/1.1 200 OK\nx-a: 2\n\n1", "HTTP/1.1 200 OK\r\nx-a: 1\r\n\r\n1")


def _is_file(block: Block) -> bool:
    return block.words.endswith((".py", ".mjs"))


def _make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
