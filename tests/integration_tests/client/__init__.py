"""The client's wheel, as other programs have it."""
