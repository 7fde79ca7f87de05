"""What `run.py` mutates, and the tests that it runs on each mutant."""

from __future__ import annotations

# For each module the files of tests. The first is run on every mutant, the others on what it does not notice.
TESTS = {
    "state": ["test_state", "test_connection"],
    "frames": ["test_frames", "test_connection", "test_parts"],
    "messages": ["test_messages", "test_prepared", "test_parts"],
    "deflate": ["test_deflate", "test_extensions", "test_prepared"],
    "connection": ["test_connection", "test_prepared", "test_extensions", "test_parts"],
    "handshake.http1": ["test_handshake", "test_handshake_hostile", "test_negotiation"],
}

# Not run, as they measure time, and may fail on a busy machine whatever the mutant is.
LEFT_OUT = ("test_time_is_linear", "test_cve_2021_32640_ws")

# Loaded once, before the first fork: what the tests import beside the package.
PRELOAD = [
    "_pytest.junitxml",
    "_pytest.unittest",
    "h11",
    "hypothesis.stateful",
    "hypothesis.strategies",
    "isal.isal_zlib",
    "pdb",
    "pytest_rerunfailures",
    "pytest_timeout",
    "websockets.sync.client",
    "wsproto",
    "zlib_ng.zlib_ng",
]
