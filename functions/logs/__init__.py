"""Logs: shipped to blobs, indexed, summed up per tenant."""
