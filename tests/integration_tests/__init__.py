"""Proofs against the real local platform, through the real SDKs."""
