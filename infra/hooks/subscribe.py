"""`python3 -m infra.hooks.subscribe`: lead the events of new blobs to the app, once its code is there."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from infra.hooks.az import AzError, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TEMPLATE = Path(__file__).parents[1] / "events.bicep"
NEEDED = ("AZURE_RESOURCE_GROUP", "TENANTRY_APP_NAME", "TENANTRY_TOPIC")
ATTEMPTS = 6
PAUSE_SECONDS = 20.0


def subscribe(environment: Mapping[str, str], sleep: Callable[[float], None]) -> None:
    """Deploy infra/events.bicep; again where the host has not made its key yet.

    Raises:
        AzError: It still failed in the end.
    """
    group, app, topic = (environment[name] for name in NEEDED)
    for _ in range(ATTEMPTS - 1):
        if _deploy(group, app, topic) is None:
            return
        sleep(PAUSE_SECONDS)
    failure = _deploy(group, app, topic)
    if failure is not None:
        raise failure


def _deploy(group: str, app: str, topic: str) -> AzError | None:
    try:
        ask(
            *("deployment", "group", "create", "--name", "tenantry-events", "--resource-group", group),
            *("--template-file", str(TEMPLATE), "--parameters", f"appName={app}", f"topicName={topic}"),
        )
    except AzError as error:
        return error
    return None


def main() -> int:
    """Subscribe, and say so."""
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing:
        print(f"subscribe: {', '.join(missing)} not set: run this by 'azd deploy'", file=sys.stderr)
        return 1
    try:
        subscribe(os.environ, time.sleep)
    except AzError as error:
        print(f"subscribe: {error}", file=sys.stderr)
        return 1
    print("subscribe: the app is told of new blobs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
