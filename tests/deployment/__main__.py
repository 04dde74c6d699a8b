"""`python -m tests.deployment`: write docs/settings.md."""

from __future__ import annotations

from tests.deployment.settings import PAGE, page

if __name__ == "__main__":
    PAGE.write_text(page())
