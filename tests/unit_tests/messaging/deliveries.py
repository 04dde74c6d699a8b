"""Messages as the Functions binding hands them over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class FakeDelivery:
    """One delivery of a message; the count includes it, as Azure's host counts."""

    body: bytes
    message_id: str | None = "m-1"
    delivery_count: int | None = 1
    session_id: str | None = None
    dead_letter_reason: str | None = None
    application_properties: Mapping[str, Any] = field(default_factory=dict)

    def get_body(self) -> bytes:
        return self.body
