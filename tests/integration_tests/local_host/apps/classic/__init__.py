"""The app `classic`."""
