"""Prompts: stored per tenant in immutable versions, rendered without running anything."""
