"""Reasoning jobs: accepted over HTTP or a queue, worked on in steps, answered in the store and on a queue."""
