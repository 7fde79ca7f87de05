"""Servers on real sockets: the cost of a message."""
