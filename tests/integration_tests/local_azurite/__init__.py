"""Azurite as the local platform runs it."""
