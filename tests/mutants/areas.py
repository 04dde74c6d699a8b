"""Areas of the core: the code of each, and the tests that are its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = "tests/unit_tests"
CONTRACT = (f"{TESTS}/gates/test_contract_bounds.py", f"{TESTS}/gates/test_contract.py")
"""Files of tests that hold what models declare, of all areas, although they run no line of theirs."""


@dataclass(frozen=True, slots=True)
class Area:
    """Part of the core.

    Attributes:
        name: Its name in the table.
        code: Files and folders, as posix paths from the repository's root.
        tests: Folders below `tests/unit_tests` that are asked first.
        without: Files of `code` that are another area's.
    """

    name: str
    code: tuple[str, ...]
    tests: tuple[str, ...]
    without: tuple[str, ...] = ()

    def files(self) -> list[str]:
        """Return the area's modules in a fixed order."""
        found = {
            file.relative_to(ROOT).as_posix()
            for place in self.code
            for file in ([ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("*.py"))
            if file.name != "__init__.py"
        }
        return sorted(found - set(self.without))

    def owns(self, test_file: str) -> bool:
        """Tell whether a file of tests is the area's own."""
        return any(test_file.startswith(f"{TESTS}/{folder}/") for folder in self.tests)


_PURGE_CODE = ("shared/tenancy/purges.py", "shared/tenancy/owned_data.py")
_IDEMPOTENCY_CODE = ("shared/http/idempotency.py",)

AREAS = (
    Area("tokens", ("shared/tokens", "functions/tokens"), ("tokens",)),
    Area(
        "tenancy",
        ("shared/tenancy", "functions/tenants", "functions/keys", "functions/settings"),
        ("tenancy", "tenants", "keys", "settings", "audit"),
        _PURGE_CODE,
    ),
    Area("idempotency", _IDEMPOTENCY_CODE, ("idempotency",)),
    Area("cosmos", ("shared/cosmos",), ("cosmos",)),
    Area("resilience", ("shared/resilience",), ("resilience", "cosmos")),
    Area("caching", ("shared/caching",), ("caching",)),
    Area("http", ("shared/http",), ("http", "ops", "gates"), _IDEMPOTENCY_CODE),
    Area("messaging", ("shared/messaging",), ("messaging",)),
    Area("prompts", ("shared/prompts", "functions/prompts"), ("prompts",)),
    Area("chat", ("functions/chat",), ("chat",)),
    Area("jobs", ("shared/jobs", "functions/reasoning"), ("reasoning", "feedback")),
    Area("feedback", ("functions/feedback",), ("feedback",)),
    Area("logs", ("functions/logs",), ("logs",)),
    Area("purges", ("functions/purges", "functions/exports", *_PURGE_CODE), ("purges", "exports", "tenants")),
)


def area_of(file: str) -> Area | None:
    """Return the area that a module belongs to."""
    return next((area for area in AREAS if file in area.files()), None)


def test_files() -> list[str]:
    """Return the unit tests that can notice a fault of the app: not those of what replaces Azure."""
    return sorted(
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / TESTS).rglob("test_*.py")
        if not file.parent.name.startswith("local_") and file.parent.name != "mutants"
    )
