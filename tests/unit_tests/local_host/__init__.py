"""The local Functions host without sockets."""
