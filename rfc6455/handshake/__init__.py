"""The opening handshake: over HTTP/1.1 (`http1.py`, section 4 of RFC 6455) and over HTTP/2 and HTTP/3 (`http2.py`,
RFC 8441 and 9220). What both do is in `opening.py`, what they agree on in `negotiation.py`, which pages may connect in
`origins.py`, what the fields mean in `fields.py`.
"""
