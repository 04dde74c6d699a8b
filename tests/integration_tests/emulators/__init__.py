"""The way to the official emulators, taken to the local endpoints in their place."""
