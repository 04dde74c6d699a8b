"""The app `asgi`."""
