"""The console: the page where people run their tenants, as static files on the API's own routes."""
