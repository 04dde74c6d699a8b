"""Keys and user tokens over real sockets."""
