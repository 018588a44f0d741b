"""Hypothesis strategies that spoil good files: bytes changed, cut out, repeated, and numbers of the kind that hurt."""

from collections.abc import Callable, Sequence

from hypothesis import strategies as st

Edit = Callable[[bytes], bytes]

HURTFUL = (b"\0", b"\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\1", b"\1\0")
"""Of formats of bytes: the ends of the ranges of integers."""

AWKWARD = ('"', ",", "\n", "\r", "\0", "\ufeff", " ", "\t", "-1", "1e999", "NaN", "é", "{", "}", "[", "null", "../x")
"""Of formats of text: what has a meaning in one of them."""


def _replaced(data: bytes, place: float, width: int, content: bytes) -> bytes:
    start = int(place * len(data))
    return data[:start] + content + data[start + width :]


def _swapped(data: bytes, place: float, other: float, width: int) -> bytes:
    start, end = sorted((int(place * len(data)), int(other * len(data))))
    return data[:start] + data[end : end + width] + data[start + width : end] + data[start : start + width] + data[end:]


def edits(tokens: Sequence[bytes]) -> st.SearchStrategy[Edit]:
    place, width = st.floats(0, 1, exclude_max=True), st.integers(0, 16)
    content = st.one_of(st.sampled_from(tokens), st.binary(max_size=8))
    return st.one_of(
        st.builds(lambda p, w, c: lambda data: _replaced(data, p, w, c), place, width, content),
        st.builds(lambda p, c: lambda data: _replaced(data, p, len(c), c), place, content),
        st.builds(lambda p, o, w: lambda data: _swapped(data, p, o, w), place, place, width),
        st.builds(lambda p: lambda data: data[: int(p * len(data))], place),
    )


def spoilt(seeds: Sequence[bytes], tokens: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """One of the good files after one to four edits."""

    def apply(data: bytes, steps: list[Edit]) -> bytes:
        for step in steps:
            data = step(data)
        return data

    return st.builds(apply, st.sampled_from(seeds), st.lists(edits(tokens), min_size=1, max_size=4))
