"""The local Cosmos endpoint through the real SDK over a real socket."""
