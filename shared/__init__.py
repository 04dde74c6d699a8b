"""Rooms that more than one capability uses: each a noun with one owner."""
