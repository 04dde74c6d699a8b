"""Unit tests: Retries, breakers, deadlines."""
