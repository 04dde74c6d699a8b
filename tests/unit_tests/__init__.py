"""Proofs without sockets: fakes behind Protocols."""
