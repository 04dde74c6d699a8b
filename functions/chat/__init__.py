"""Bots and the conversations that tenants have with them."""
