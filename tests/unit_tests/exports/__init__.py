"""Unit tests: Exports."""
