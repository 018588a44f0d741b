from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gingham.data.boxes import read_boxes, read_listing
from gingham.data.cells import escaped, unescaped
from gingham.data.columns import read_columns
from gingham.data.options import DataOptions

cells = st.text(alphabet="'=+-@\t\r\n ＝xa;1", max_size=6) | st.text()  # noqa: RUF001


@given(cells)
@example("'=1")
@example("''=1")
def test_escaping_is_undone(text: str) -> None:
    assert unescaped(escaped(text)) == text


@given(cells)
def test_nothing_that_is_escaped_begins_a_formula(text: str) -> None:
    cell = escaped(text)
    assert cell.strip()[:1] not in {*"=+-@＝＋－＠"} or not cell.strip()  # noqa: RUF001
    assert cell[:1] not in {*"\t\r\n"}
    assert cell in (text, f"'{text}")


@given(st.text(alphabet=st.characters(exclude_characters="=+-@＝＋－＠\t\r\n"), max_size=6))  # noqa: RUF001
def test_other_text_stays_as_it_is(text: str) -> None:
    assert escaped(text) == unescaped(text) == text


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\rx", "\nx", "  =1", "\xa0=1", "\uff1d1", "\0=1"],
)
def test_what_spreadsheets_run(text: str) -> None:
    assert escaped(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "a.jpg", "'a.jpg", "''", "it's", "a=b", "img/-1.jpg", "0.5"])
def test_what_they_do_not(text: str) -> None:
    assert escaped(text) == unescaped(text) == text


def test_our_readers_take_the_quote_away(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("""image,'=kind,x1,y1,x2,y2\n'=1+1.jpg,'-,1,2,3,4\n'plain.jpg,a,1,2,3,4\n""")
    columns = read_columns(table)
    assert columns.text("=kind") == ["-", "a"]
    assert [name for name, _, _ in read_listing(table, DataOptions())] == ["=1+1.jpg", "'plain.jpg"]
    assert list(read_boxes(table)) == ["=1+1.jpg", "'plain.jpg"]
