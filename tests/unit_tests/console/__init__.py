"""The console: how its files are served, and what may stand in them."""
