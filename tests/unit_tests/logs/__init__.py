"""Shipping, indexing and summing up logs."""
