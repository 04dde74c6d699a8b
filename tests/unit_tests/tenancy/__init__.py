"""Keys, contexts and authentication."""
