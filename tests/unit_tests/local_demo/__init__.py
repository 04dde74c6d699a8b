"""The demo: what it plans, the past that it writes, the keys that it remembers."""
