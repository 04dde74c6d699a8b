"""What deploys the app: Bicep, containers, settings, packages."""
