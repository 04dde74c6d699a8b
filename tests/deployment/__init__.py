"""What deploys the app, read by programs: Bicep, manifests, settings."""
