"""Webhooks of tenants: the completion URLs that jobs may name, and what is delivered to them."""
