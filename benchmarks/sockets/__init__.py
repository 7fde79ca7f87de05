"""Servers on real sockets: what a message costs each of them."""
