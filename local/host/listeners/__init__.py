"""Triggers that are no requests: queues, clocks and blobs."""
