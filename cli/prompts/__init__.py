"""Import and export of prompts as a folder of files: `python -m cli.prompts`."""
