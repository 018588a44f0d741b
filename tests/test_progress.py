"""Work inside of larger work shows as the larger one's note."""

from gingham.progress import Bar, Inside, Reporter


class Noted(Bar):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.done = 0

    def advance(self, amount: int = 1, note: str = "") -> None:
        self.done += amount
        self.notes.append(note)


class Warned(Reporter):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.said.append(f"warning: {text}")


def test_inner_progress_moves_the_note_and_not_the_bar() -> None:
    outer, inside = Noted(), Inside(Reporter())
    inside.outer, inside.prefix = outer, "fold 2: "
    with inside.bar("features", 30) as bar:
        bar.advance(10)
        bar.advance()
    assert outer.done == 0
    assert outer.notes == ["fold 2: features 0/30", "fold 2: features 10/30", "fold 2: features 11/30"]


def test_a_warning_passes_once_and_messages_do_not() -> None:
    outer = Warned()
    inside = Inside(outer)
    for prefix in ("fold 1: ", "fold 2: "):
        inside.prefix = prefix
        inside.say("epoch 1")
        inside.warn("no box")
    inside.warn("other")
    assert outer.said == ["warning: fold 1: no box", "warning: fold 2: other"]
