"""The local Cosmos endpoint without sockets."""
