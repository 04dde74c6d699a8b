"""Feedback forms: taken over HTTP, as CSV or from a queue, analysed, counted, and told on a queue."""
