"""Function apps made for the tests, each run by a host of its own."""
