"""The command `tenantry`: prompts between a deployment and a folder of files."""
