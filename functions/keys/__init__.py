"""API keys of tenants, as administrators manage them."""
