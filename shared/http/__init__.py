"""The HTTP edge: routes, the way of one request, and what it answers."""
