"""Everything that turns the chat into a service: limits, history, several servers, TLS, pages, metrics, switches, the
log.

None of it is needed to see how a line gets from one client to all the others; the files beside this folder do that.
"""
