"""What a candidate of a benchmark is: one call of work, and the answers that it gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Answers", "Work"]

Answers = list[list[float]]
"""Logits of the first photos, one row each, by which candidates are compared."""


@dataclass(frozen=True)
class Work:
    """What a factory gives back to `worker`.

    Attributes:
        call: does one portion of the work and returns how many units (images, GFLOP) that was.
        answers: the logits of the first photos, for comparison; None for what gives none.
        close: ends what the candidate started.
        facts: what is to be said of it in the table, by column.
    """

    call: Callable[[], float]
    answers: Callable[[], Sequence[Sequence[float]]] | None = None
    close: Callable[[], None] | None = None
    facts: tuple[tuple[str, str], ...] = ()
