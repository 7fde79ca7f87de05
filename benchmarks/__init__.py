"""Speed of `rfc6455` beside its peers: the same bytes to each, in turn, in one process. See README.md."""
