"""Blobs: what the app asks of a blob store, and Azure Storage behind it."""
