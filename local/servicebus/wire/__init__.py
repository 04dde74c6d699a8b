"""The wire: AMQP encoding, SASL, links, claims-based security and management requests."""
