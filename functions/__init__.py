"""The capabilities: one folder each, from trigger to storage."""
