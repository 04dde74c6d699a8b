"""How large the random runs are: small by default, the size that the claims name with TENANTRY_SOAK=1."""

from __future__ import annotations

import os
from typing import Final

SOAK: Final = os.environ.get("TENANTRY_SOAK") == "1"
EXAMPLES: Final = 500 if SOAK else 30
STEPS: Final = 100 if SOAK else 40
QUERY_EXAMPLES: Final = 5_000 if SOAK else 200
