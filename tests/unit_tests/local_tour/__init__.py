"""The tour, against an app that answers from memory."""
