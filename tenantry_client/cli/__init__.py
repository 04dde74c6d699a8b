"""The command `tenantry`."""
