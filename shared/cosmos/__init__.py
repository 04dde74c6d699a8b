"""Cosmos access: containers behind a Protocol, and partitions that stamp and check the tenant."""
