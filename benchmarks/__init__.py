"""The speed of `rfc6455` compared with its peers: the same bytes for each, in turn, in one process. See README.md."""
