"""`python -m local.demo`: a local platform filled with data that looks real, for newcomers and pictures."""
