"""npm's `@azure/service-bus` against the endpoint."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.integration_tests.local_servicebus.javascript import run_program

if TYPE_CHECKING:
    from tests.integration_tests.local_servicebus.endpoint import Endpoint


def test_the_sdk_for_javascript_works_on_queues_and_sessions(endpoint: Endpoint) -> None:
    assert json.loads(run_program("check.mjs", endpoint.connection_string())) == {
        "first": {"body": {"greeting": "hi"}, "id": "1", "n": 7, "count": 0},
        "renewed": True,
        "again": {"body": "abandon", "count": 1, "tried": 1},
        "peeked": [["defer", "deferred"]],
        "deferred": "defer",
        "dead": ["bury", "why", "because"],
        "pump": "function",
        "pumped": "soon",
        "session": "s",
        "state": {"half": "way"},
        "sessionRenewed": True,
        "bodies": ["a", "b"],
        "unknown": "MessagingEntityNotFound",
    }
