"""The routes of tenants and keys."""
