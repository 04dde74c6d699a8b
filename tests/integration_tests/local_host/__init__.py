"""The local Functions host through real processes and sockets."""
