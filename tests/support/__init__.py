"""Fakes, simulated time and drivers that several tests share."""
