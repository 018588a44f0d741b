"""Text from anybody, for a terminal."""

__all__ = ["harmless"]


def harmless(text: str) -> str:
    r"""The text with control characters written out, as in `\x1b`: names of files may hold them, and terminals obey."""
    return "".join(letter if letter.isprintable() or letter in "\n\t\xa0" else repr(letter)[1:-1] for letter in text)
