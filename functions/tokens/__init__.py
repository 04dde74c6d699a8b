"""The token budgets over HTTP."""
