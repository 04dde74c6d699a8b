"""A function app with a bare function beside the app's own edge."""
