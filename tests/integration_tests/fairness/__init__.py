"""Tenants beside each other on the queues: a flood of some keeps no other's job waiting."""
