"""What outages outside of the process do to the app, over real sockets."""
