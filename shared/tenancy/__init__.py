"""Tenancy: tenants, their keys, and the context that every operation takes first."""
