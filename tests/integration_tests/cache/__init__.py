"""The cache over a real server."""
