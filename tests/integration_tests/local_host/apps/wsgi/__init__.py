"""The app `wsgi`."""
