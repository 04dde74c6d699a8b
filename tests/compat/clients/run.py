"""Runs the checks of one client, in the environment that has it, and prints them as one line of JSON.

`run.py {module} {package} {package} ...` calls each `check_...` of the module beside this file, and awaits
those that are coroutines. The client finds the app by `OPENAI_BASE_URL` and `OPENAI_API_KEY`, as any program
of its users does.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import sys
import traceback
from importlib.metadata import version


def main() -> int:
    """Run the checks; return how many failed."""
    name, *packages = sys.argv[1:]
    failed: dict[str, str] = {}
    passed: list[str] = []
    for title, check in inspect.getmembers(importlib.import_module(name), inspect.isfunction):
        if not title.startswith("check_"):
            continue
        try:
            outcome = check()
            if inspect.iscoroutine(outcome):
                asyncio.run(outcome)
        except Exception:  # noqa: BLE001  # whatever it is, the others are still to be run
            failed[title] = traceback.format_exc()
        else:
            passed.append(title)
    versions = {package: version(package) for package in packages}
    print(json.dumps({"versions": versions, "passed": passed, "failed": failed}))
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
