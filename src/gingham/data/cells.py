"""Cells of CSV files that a spreadsheet would take for a formula, and back.

A spreadsheet runs a cell that begins with `=`, `+`, `-` or `@`, also after blanks and in full width, and names of files
and classes come from anybody (https://owasp.org/www-community/attacks/CSV_Injection). A single quote before it makes it
text. Both functions change no other text, and the second undoes the first.
"""

import re

__all__ = ["escaped", "unescaped"]

# Quotes before the formula belong to the pattern: a text that looks escaped already is escaped once more.
_FORMULA = re.compile(r"'*(?:[\t\r\n]|[\s\0]*[=+\-@＝＋－＠])")  # noqa: RUF001


def escaped(text: str) -> str:
    """The text, with a single quote before it where a spreadsheet would run it or skip its first character."""
    return f"'{text}" if _FORMULA.match(text) else text


def unescaped(text: str) -> str:
    """The text that was `escaped`."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text
