"""The hashes in the chat page's Content-Security-Policy.

The page allows only its inline style and its inline script, each by its SHA-256. `test_page.py` compares the page with
`with_hashes()`. Run this file to update the hashes after a change to the page.
"""

import base64
import hashlib
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "examples" / "chat" / "index.html"


def with_hashes(html: str) -> str:
    """Return `html` with the `style-src` and `script-src` of its policy set to the hashes of what it holds."""
    for tag in ("style", "script"):
        match = re.search(rf"<{tag}[^>]*>(.*?)</{tag}>", html, re.DOTALL)
        assert match, f"the page has no <{tag}>"
        digest = base64.b64encode(hashlib.sha256(match[1].encode()).digest()).decode()
        html = re.sub(rf"{tag}-src '[^']*'", f"{tag}-src 'sha256-{digest}'", html, count=1)
    return html


if __name__ == "__main__":
    # Text mode on purpose: a browser hashes what is between the tags after it has made each CRLF an LF, and so do we.
    PAGE.write_text(with_hashes(PAGE.read_text("utf-8")), "utf-8")
