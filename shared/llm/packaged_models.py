"""Table of Azure's models that the app comes with; `azure_models.json` names its sources and its day."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from shared.llm.deployments import CatalogueEntry

if TYPE_CHECKING:
    from collections.abc import Mapping

CURRENCY = "USD"
"""Currency of the table's prices; in another one they are left out."""

_TABLE = Path(__file__).with_name("azure_models.json")


@cache
def packaged_models() -> Mapping[str, CatalogueEntry]:
    """Return the models by name."""
    table = json.loads(_TABLE.read_text())
    return {name: CatalogueEntry.model_validate(entry) for name, entry in table["models"].items()}
