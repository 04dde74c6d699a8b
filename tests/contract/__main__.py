"""`make contract`: write the contract's documents, unless that would break those who hold on to them."""

from __future__ import annotations

import asyncio
import json
import sys

import function_app
from tests.contract.documents import (
    API,
    EXAMPLES,
    MESSAGES,
    breaking_changes,
    current_api,
    current_messages,
)
from tests.contract.examples import record


def main() -> int:
    """Record the examples and write both documents; refuse, with the list, what breaks them."""
    examples = asyncio.run(record()).model_dump(mode="json", exclude_defaults=True)
    EXAMPLES.write_text(json.dumps(examples, indent=2) + "\n")
    sys.stdout.write(f"wrote {EXAMPLES.name}\n")
    api, messages = current_api(function_app.runtime.routes), current_messages()
    if API.exists() and (broken := breaking_changes(api, messages)):
        sys.stderr.write("These changes break the published contract:\n")
        sys.stderr.writelines(f"  {change}\n" for change in broken)
        sys.stderr.write("Keep what was there, or publish it under a new version of the path.\n")
        return 1
    for file, document in ((API, api), (MESSAGES, messages)):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
        sys.stdout.write(f"wrote {file.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
