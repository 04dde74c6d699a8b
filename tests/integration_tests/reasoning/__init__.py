"""Reasoning jobs over the real queue, store and model, as callers and outsiders meet them."""
