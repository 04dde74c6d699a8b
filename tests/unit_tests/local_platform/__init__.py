"""Claims about what starts, watches and stops the local platform."""
