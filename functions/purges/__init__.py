"""Purges of all that a tenant owns."""
