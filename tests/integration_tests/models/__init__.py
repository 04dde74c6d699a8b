"""Models of the catalogue and the OpenAI service, through the real local model endpoint."""
