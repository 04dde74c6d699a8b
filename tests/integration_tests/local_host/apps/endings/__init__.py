"""The app `streaming`."""
