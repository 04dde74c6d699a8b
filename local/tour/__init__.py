"""`make run`: the platform, the app, and a short journey through what it does."""
