"""An OpenAI-compatible model: deterministic, offline, and plainly a stand-in."""
