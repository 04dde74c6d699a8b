"""Facades with the call shapes of the source documents; the app itself imports none of them."""
