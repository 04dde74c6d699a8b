"""The demo platform that `make run` gives, and a folder like a checkout beside it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from local.supervisor.options import ROOT
from tests.integration_tests.tour import STAYS_UP, on_terminal, options
from tests.support.working_copy import copy_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the tree: what a page's commands write lands there."""
    return copy_tree(tmp_path_factory.mktemp("docs") / "tenantry")


@pytest.fixture(scope="module")
def demo(checkout: Path) -> Iterator[Path]:
    """Start the demo platform on the checkout's `.local`, whose `env.sh` the pages read."""
    command = [sys.executable, "-m", "local.tour", *options(checkout / ".local")]
    with on_terminal(command, ROOT) as tour:
        tour.read_until(STAYS_UP)
        yield checkout
        assert tour.press_ctrl_c() == 0
