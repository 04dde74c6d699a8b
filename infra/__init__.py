"""Deployment to Azure and to containers."""
