"""Webhooks: who may be told, how it is signed, and what becomes of a receiver that fails."""
