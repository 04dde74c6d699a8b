"""Rows in SQLite: the catalog and one table of items per container."""
