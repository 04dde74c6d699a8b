"""The README's table of settings has each setting that the app reads, and no other."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from shared.settings import Settings
from tests.integration_tests.docs.pages import pages
from tests.support.working_copy import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

README = (ROOT / "README.md").read_text()
OF_THE_HOST = {
    "LOG_SHIP_SCHEDULE",
    "OUTBOX_SWEEP_SCHEDULE",
    "BUDGET_ALERTS_SCHEDULE",
    "TENANT_PURGE_SCHEDULE",
}
"""Read by the host, for the triggers that name them in percent signs."""


def test_each_setting_of_the_app_is_on_some_page() -> None:
    documented = {name for page in pages() for name in in_backticks((ROOT / page).read_text())}

    assert {field.alias for field in Settings.model_fields.values()} - documented == set()


def test_the_readmes_table_names_no_setting_that_there_is_not() -> None:
    rows = re.findall(r"^\| (`[A-Z].*?) \|", README, re.MULTILINE)
    named = {name for row in rows for name in in_backticks(row)}

    assert len(named) > 20
    assert named - {field.alias for field in Settings.model_fields.values()} == OF_THE_HOST


def test_the_sample_sets_nothing_that_no_page_names() -> None:
    sample = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    host_own = {"FUNCTIONS_WORKER_RUNTIME", "PYTHON_ENABLE_INIT_INDEXING", "AzureWebJobsStorage"}

    assert sample.keys() - host_own - set(in_backticks(README)) == set()


def in_backticks(text: str) -> Iterator[str]:
    """Give the names of settings; `..._X` behind `A_Y` is `A_X`."""
    before = ""
    for span in re.findall(r"`([^`\n]+)`", text):
        for name in re.findall(r"(?:\.{3}|\b)_?[A-Z][A-Z0-9_]{2,}[A-Za-z_]*", span):
            if name.startswith(("..._", "_")):
                yield before.rpartition("_")[0] + "_" + name.lstrip("._")
            else:
                before = name
                yield name
