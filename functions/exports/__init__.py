"""Exports of all that a tenant owns."""
