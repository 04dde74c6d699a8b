"""Tenants and API keys: the administrator's side."""
