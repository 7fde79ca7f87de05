"""What makes a service of the chat: limits, history, several servers, TLS, pages, metrics, switches, the log.

None of it is needed to see how a line gets from one client to all the others; the files beside this folder do that.
"""
