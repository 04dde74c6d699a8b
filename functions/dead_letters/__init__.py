"""Messages that were refused for good, or exhausted their deliveries: listed, replayed, deleted."""
