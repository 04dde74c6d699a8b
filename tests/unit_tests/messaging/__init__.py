"""The queue edge: what is handled, what is put back, what is kept for good."""
