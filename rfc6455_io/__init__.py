"""Loops around `rfc6455`, which itself does no I/O: ``rfc6455_io.asyncio`` has a server and a client for asyncio.

Import the module that you need; this one is empty, so that nobody loads a loop that is not used.
"""
