"""The fields that lines of the app's own code may have beside those of every line: an allow-list."""

from __future__ import annotations

_OF_MODEL_CALLS = """
time key_id user_id app_id bot_id conversation_id turn job_id step prompt_name prompt_version model deployment
provider stream prompt_tokens cached_tokens completion_tokens reasoning_tokens cost currency attempts
fallback_from wait_ms time_to_first_token_ms duration_ms overhead_ms finish_reason status error
"""
"""Those of `ModelCallRecord`, which are the contract's (design/api.md)."""

_OF_REQUESTS = "route duration_ms first_event_ms sent_bytes status error"
_OF_TURNS = "event bot_id conversation_id turn stream model_calls total_tokens cost duration_ms"
_OF_OTHERS = """
action age_seconds blob blobs bytes claim count days dead_letter_id deliveries delivery_id entry
failures fields file files hook import_id key locks logger_of_line message_id middleware
named_tenant_id oldest oldest_seconds outcome owner pause_seconds place problem purged_tenant queue
reason refused region retires_on settings source status_code tokens unreadable webhook_id
"""

FIELDS = frozenset(f"{_OF_MODEL_CALLS} {_OF_REQUESTS} {_OF_TURNS} {_OF_OTHERS}".split())
"""None of them has what a caller wrote, but for names and ids, which are redacted as all texts are."""

UNLISTED = "[unlisted]"
"""Written in the place of a field's value whose name is not one of them."""

_OWN = ("functions.", "shared.")


def is_listed(logger: str, field: str) -> bool:
    """Tell whether a logger's lines may have a field: programs that use the app's logging have their own."""
    return field in FIELDS or not logger.startswith(_OWN)
