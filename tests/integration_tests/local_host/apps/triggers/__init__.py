"""The app `triggers`."""
