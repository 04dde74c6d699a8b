"""`LogMonitorService` of the common library document."""

from __future__ import annotations

from shared.log_shipping.monitor import LogMonitorService

__all__ = ["LogMonitorService"]
