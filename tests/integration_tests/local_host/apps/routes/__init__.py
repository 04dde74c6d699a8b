"""The app `routes`."""
