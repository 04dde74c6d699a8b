"""Webhooks: the URLs that tenants let be told of the end of their jobs, and the deliveries to them."""
