"""Chat through the real SDK, by more than one process."""
