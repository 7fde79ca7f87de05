"""Removes characters from texts and names that are invisible, or that look like something else. Pure functions."""

from __future__ import annotations

import re
from unicodedata import normalize

# Characters that are invisible, although Python calls them printable: Hangul fillers, the combining grapheme joiner.
_FILLERS = "\u034f\u115f\u1160\u3164\uffa0"

# The end of a line in a text, with the tab that `clean` puts there, and several empty lines, of which one is kept.
_LINE_END = re.compile(r"(?:\r\n?|\n)\t?")
_GAP = re.compile(r"(?:\n\t){3,}")

# Control characters, and marks that change the direction of writing or have no width, with which one text can be made
# to look like another: Unicode's Default_Ignorable_Code_Point. U+200C and U+200D are kept, as Persian and emoji need
# them, and so are the selectors.
_INVISIBLE = re.compile(
    f"[\x00-\x1f\x7f-\x9f{_FILLERS}\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff]"
)
_FILLER = re.compile(f"[{_FILLERS}]")

# Joiners and selectors, which may change how their neighbours look, but are invisible themselves.
_JOINERS = r"\u200c\u200d\u17b4\u17b5\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"
_JOINER = re.compile(f"[{_JOINERS}]")

# Marks that can be combined with any letter.
_MARKS = r"\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"

# Characters that are invisible, or nearly so, at the beginning of a line: spaces, and joiners and marks with nothing
# before them.
_BLANK = rf"\s\u2800{_JOINERS}{_MARKS}"

# A star, or a character that looks like one (NFKC turns three of them into "*"), with the invisible characters around
# it at the beginning of a line.
_STARS = "*\u066d\u204e\u2055\u2217\u2731\u2732\ufe61\uff0a"
_STAR = re.compile(f"[{_BLANK}]*[{_STARS}][{_STARS}{_BLANK}]*")

# Characters that are invisible around a name, but may be needed within it.
_EDGES = " \u200c\u200d\u2800"

# In a name. With the name "Bob left, so", somebody could make the server say that Bob left.
_NEWS = re.compile(r"(?<=\s)(?:joined|left)\b\S*", re.IGNORECASE)

MAX_NAME = 40


def clean(text: str) -> str:
    """Return the text with a space for each invisible character.

    If it has several lines, all but the first begin with a tab, so that none of them looks like another message. Empty
    lines at its end are left out.
    """
    # Most lines have none, and str.isprintable() finds that out in a fraction of the time.
    if text.isprintable() and (text.isascii() or not _FILLER.search(text)):
        return text
    lines = [_INVISIBLE.sub(" ", line) for line in _LINE_END.split(text)]
    while len(lines) > 1 and not lines[-1].strip():
        del lines[-1]
    return _GAP.sub("\n\t\n\t", "\n\t".join(lines))


def without_star(line: str) -> str:
    """Return the line as a client may say it: with a star it would look like one of the server's."""
    found = _STAR.match(line)
    return line[found.end() :] if found else line


def clean_name(text: str) -> str:
    """Return the text as a name, in NFC, without a star at its beginning, colons, commas, or anything that looks like
    one of the server's lines.

    The result is empty if nothing is left.
    """
    name = without_star(normalize("NFC", re.sub("[:,]", " ", clean(text)))).strip(_EDGES)
    short = " ".join(name.split())[:MAX_NAME]
    return " ".join(_NEWS.sub("", short).split()).strip(_EDGES)


def key(name: str) -> str:
    """Return the same text for names that look the same: in NFC, without invisible characters."""
    if name.isascii():
        return name
    return normalize("NFC", " ".join(_JOINER.sub("", name).replace("\u2800", " ").split()))
