"""Client of a Tenantry deployment, for other programs; it imports nothing of the app."""
