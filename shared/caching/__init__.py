"""Bounded caches in this process, with an optional second level that all instances share."""
