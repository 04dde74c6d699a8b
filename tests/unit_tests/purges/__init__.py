"""Unit tests: Purges."""
