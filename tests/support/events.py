"""Server-sent events, as a test reads them."""

from __future__ import annotations

import json
from typing import Any


def read_events(content: bytes) -> list[tuple[str, Any]]:
    """Read events as (name, data), as a browser does: by lines, each event ended by an empty one."""
    read = []
    for event in content.decode().removesuffix("\n\n").split("\n\n"):
        name, data = event.split("\n")
        read.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return read
