"""The proofs of what Tenantry claims."""
