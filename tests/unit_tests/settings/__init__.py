"""Unit tests: Settings."""
