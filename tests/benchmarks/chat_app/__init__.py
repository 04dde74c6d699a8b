"""The app itself, with a sampler that tells which part of it takes the CPU."""
