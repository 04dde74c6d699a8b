"""Tenants from their first day to their purge, over the real SDKs and the real local platform."""
