"""Unit tests: The HTTP edge."""
