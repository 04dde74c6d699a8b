"""Unit tests: API keys."""
