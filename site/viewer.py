"""The attention viewer's page: its template with the data put in.

The data stand in the page itself, because a page opened as a file may not fetch another one. But:
what is in them is measured by scripts/attention.py.
"""

import json
from typing import Any

PLACE = "@DATA@"


def page(template: str, data: str | dict[str, Any]) -> str:
    """Returns the page as one file that needs no other.

    Args:
        template: viewer/viewer.html, with `PLACE` inside a script element of type JSON.
        data: viewer/attention.json, as its text or as what it says.

    Raises:
        ValueError: if the template doesn't have the place exactly once.
    """
    if template.count(PLACE) != 1:
        raise ValueError(f"template has {PLACE} {template.count(PLACE)} times; it needs it once")
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    # In JSON "<" stands only in strings, where it may be written so; "</script>" can't occur then.
    return template.replace(PLACE, text.strip().replace("<", "\\u003c"))
