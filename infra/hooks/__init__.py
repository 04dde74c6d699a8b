"""Hooks of `azd`: before resources are made, and after the app is deployed; they need no package."""
