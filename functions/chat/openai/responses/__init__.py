"""OpenAI's Responses API: answers that are stored, gone on with, streamed, and made in the background."""
