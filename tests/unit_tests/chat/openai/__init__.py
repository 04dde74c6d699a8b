"""OpenAI's interface, on the app in memory."""
