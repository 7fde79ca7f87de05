"""The opening handshake: over HTTP/1.1 (`http1.py`, section 4 of RFC 6455) and over HTTP/2 and HTTP/3 (`http2.py`, RFC
8441 and 9220). The common part is in `opening.py`, the negotiation in `negotiation.py`, the check of pages in
`origins.py`, and the meaning of the fields in `fields.py`.
"""
