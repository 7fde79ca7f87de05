"""A self-signed certificate for localhost, made by OpenSSL."""

from __future__ import annotations

import subprocess
from pathlib import Path

from chat_server import missing
from programs import PATIENCE

COMMAND = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Put a certificate and its key into the folder, both as PEM."""
    chain, key = folder / "chain.pem", folder / "key.pem"
    command = [*COMMAND, "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", chain]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
    except FileNotFoundError:
        missing("openssl")
    return chain, key
