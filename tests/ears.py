"""A reporter for tests that remembers what it was told."""

from gingham.progress import Reporter

__all__ = ["Ears"]


class Ears(Reporter):
    """Attributes: lines: all messages in order, warnings after `warning: `."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def warn(self, text: str) -> None:
        self.lines.append(f"warning: {text}")
