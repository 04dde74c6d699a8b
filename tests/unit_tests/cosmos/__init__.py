"""Cosmos access, against the real SDK over the engine in memory."""
