"""Calls to what may fail: retries, breakers, deadlines, bounded concurrency."""
