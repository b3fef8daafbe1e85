"""What a browser says it is, in few words. It is only what it says, and proves nothing."""

from __future__ import annotations

import re
from typing import Final

_BROWSERS: Final = (
    ("Edge", re.compile(r"\bEdg(?:e|A|iOS)?/(\d+)")),
    ("Opera", re.compile(r"\bOPR/(\d+)")),
    ("Samsung Internet", re.compile(r"\bSamsungBrowser/(\d+)")),
    ("Firefox", re.compile(r"\b(?:Firefox|FxiOS)/(\d+)")),
    ("Chrome", re.compile(r"\b(?:Headless)?(?:Chrome|CriOS)/(\d+)")),
    ("Safari", re.compile(r"\bVersion/(\d+)\S* (?:Mobile/\S+ )?Safari/")),
)
"""The first that fits counts: most name those they are made from, too."""
_SYSTEMS: Final = (
    ("iPhone", re.compile(r"\biPhone\b")),
    ("iPad", re.compile(r"\biPad\b")),
    ("Android", re.compile(r"\bAndroid\b")),
    ("ChromeOS", re.compile(r"\bCrOS\b")),
    ("Windows", re.compile(r"\bWindows\b")),
    ("macOS", re.compile(r"\bMac OS X\b")),
    ("Linux", re.compile(r"\bLinux\b")),
)
LONGEST: Final = 100
READ_MOST: Final = 500
"""Characters of what a browser says that are looked at."""


def describe(user_agent: str) -> str:
    """Browser and system, such as "Firefox 128 on Linux"; what is not known is shown as it came."""
    text = user_agent[:READ_MOST]
    system = next((name for name, pattern in _SYSTEMS if pattern.search(text)), "")
    for name, pattern in _BROWSERS:
        if found := pattern.search(text):
            return f"{name} {found[1]}{f' on {system}' if system else ''}"[:LONGEST]
    return "".join(one if one.isprintable() else " " for one in text)[:LONGEST].strip()
