"""Warnings of models that retire soon: a log line and a measurement for each, every day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.llm.deployments import CatalogueSource
from shared.logging.logger import get_logger
from shared.telemetry.spans import count_event

if TYPE_CHECKING:
    from shared.clock import Clock
    from shared.llm.catalogue import ModelCatalogue

_logger = get_logger(__name__)


async def warn_of_retirements(catalogue: ModelCatalogue, clock: Clock) -> None:
    """Warn of each deployment that retires within 90 days, or has retired.

    Of the packaged table, which has all models whoever deployed them, only those are told that somebody's
    entry falls back to, or that are the deployment's default.

    Raises:
        DependencyUnavailableError: The store is down.
    """
    today = clock.now().date()
    known = await catalogue.deployments()
    named = {other for one in known.values() for other in one.fallbacks} | {catalogue.default_model}
    for one in known.values():
        is_ours = one.source is not CatalogueSource.PACKAGED or one.name in named
        if is_ours and one.retires_soon(today):
            facts = {"model": one.name, "retires_on": str(one.retires_on), "days": one.days_left(today)}
            _logger.warning("A model retires soon", extra=facts)
            count_event("tenantry.model.retirements", {"model": one.name})
