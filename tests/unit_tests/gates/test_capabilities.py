"""Every capability there is runs: a folder of `functions/` that the app does not register is found here."""

from __future__ import annotations

from pathlib import Path

import function_app

ROOT = Path(__file__).parents[3]


def test_every_capability_is_registered_with_the_app() -> None:
    """Import its `blueprint` in `function_app.py`, and add it to `CAPABILITIES` there."""
    folders = {file.parent.name for file in (ROOT / "functions").glob("*/trigger.py")}
    registered = {bind.__module__.split(".")[1] for bind in function_app.CAPABILITIES}

    assert registered == folders


def test_no_capability_is_registered_twice() -> None:
    assert len(set(function_app.CAPABILITIES)) == len(function_app.CAPABILITIES)
