"""Health, and what no other route answers."""
