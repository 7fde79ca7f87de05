"""Everything that turns the chat into a service: limits, history, several servers, TLS, pages, metrics, switches, the
log.

The files beside this folder show how a line gets from one client to all the others; nothing in here is needed for
that.
"""
