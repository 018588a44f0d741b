"""CSV, Parquet and JSONL files as columns of text; what the columns mean is for `tables.py` to say."""

import csv
import difflib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gingham.data.cells import unescaped
from gingham.documents import parse_json
from gingham.errors import DataError, one_line

__all__ = ["READERS", "Columns", "read_columns"]


@dataclass(frozen=True)
class Columns:
    """The cells of a table, as the file holds them.

    Attributes:
        file: the file that was read.
        cells: column name -> N values.
        lines: where each row begins: a line number, or for Parquet a row number; both from 1.
        unit: what comes between the file's name and that number in messages.
    """

    file: Path
    cells: Mapping[str, Sequence[Any]]
    lines: Sequence[int]
    unit: str = ":"

    def where(self, row: int) -> str:
        """`file:line` of a row, for messages."""
        return f"{self.file}{self.unit}{self.lines[row]}"

    def require(self, name: str, option: str) -> str:
        """The column's name again. Raises `DataError`, naming the option and the nearest column, if there is none."""
        if name in self.cells:
            return name
        near = difflib.get_close_matches(name, self.cells, n=1, cutoff=0.6)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(self.cells)}"
        raise DataError(f"{self.file}: no column '{name}' ({option}); {hint}")

    def text(self, name: str) -> list[str | None]:
        """The cells of one column as text without blanks around it; None = empty.

        Booleans become `true` and `false`, whole numbers lose their fraction (2.0 becomes `2`).

        Raises:
            DataError: a cell that is neither text, number nor boolean.
        """
        return [self._as_text(value, name, row) for row, value in enumerate(self.cells[name])]

    def _as_text(self, value: Any, name: str, row: int) -> str | None:
        if isinstance(value, str):
            return value.strip() or None
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, float) and value.is_integer():
            return str(int(value))
        if isinstance(value, int | float):
            return str(value)
        raise DataError(
            f"{self.where(row)}: column '{name}' holds a {type(value).__name__}; expected text, a number or a boolean"
        )


def read_columns(file: Path) -> Columns:
    """Read a `.csv`, `.parquet` or `.jsonl` file.

    Raises:
        DataError: the file is missing, of another kind, empty or malformed; with the line where there is one.
    """
    reader = READERS.get(file.suffix.lower())
    if reader is None:
        raise DataError(f"{file}: expected a file ending in {', '.join(READERS)}")
    try:
        columns = reader(file, file.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{file}: no such file") from None
    except OSError as failure:
        raise DataError(f"{file}: cannot be read ({failure.strerror or failure})") from None
    if not columns.lines:
        raise DataError(f"{file}: it has no rows")
    return columns


def _decoded(file: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        line = data.count(b"\n", 0, failure.start) + 1
        raise DataError(f"{file}:{line}: not UTF-8 text; save the file as UTF-8") from None


def _check_header(file: Path, names: Sequence[str]) -> None:
    for number, name in enumerate(names, start=1):
        if not name:
            raise DataError(f"{file}:1: column {number} has no name; name it, or remove it")
        if names.index(name) != number - 1:
            raise DataError(f"{file}:1: two columns are called '{name}'; rename one")


def _read_csv(file: Path, data: bytes) -> Columns:
    reader = csv.reader(io.StringIO(_decoded(file, data), newline=""), strict=True)
    names: list[str] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    line = 1
    try:
        for row in reader:
            # The reader counts the last line of a record; a quoted cell may span several.
            begin, line = line, reader.line_num + 1
            if not row:
                continue
            if not names:
                names = [unescaped(name).strip() for name in row]
                _check_header(file, names)
            elif len(row) != len(names):
                raise DataError(f"{file}:{begin}: {len(row)} fields, but the header has {len(names)}")
            else:
                rows.append([unescaped(cell) for cell in row])
                lines.append(begin)
    except csv.Error as failure:
        raise DataError(f"{file}:{line}: not valid CSV ({failure})") from None
    return Columns(file, dict(zip(names, zip(*rows, strict=True), strict=False)), lines)


def _read_jsonl(file: Path, data: bytes) -> Columns:
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    for line, text in enumerate(_decoded(file, data).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            row = parse_json(text)
        except ValueError as failure:
            raise DataError(f"{file}:{line}: not valid JSON ({failure})") from None
        if not isinstance(row, dict):
            raise DataError(f"{file}:{line}: expected an object with column names as keys, got {text.strip()[:40]}")
        rows.append({key.strip(): value for key, value in row.items()})
        lines.append(line)
    names = dict.fromkeys(name for row in rows for name in row)
    return Columns(file, {name: [row.get(name) for row in rows] for name in names}, lines)


def _read_parquet(file: Path, data: bytes) -> Columns:
    try:
        # Not `read_table`, which would also make columns of folder names such as `split=train`.
        table = pq.ParquetFile(pa.BufferReader(data)).read()
        names = [name.strip() for name in table.column_names]
    except (pa.ArrowException, OSError, ValueError) as failure:
        raise DataError(f"{file}: not a readable Parquet file ({one_line(failure)})") from None
    _check_header(file, names)
    cells = {name: _plain(file, name, column) for name, column in zip(names, table.columns, strict=True)}
    return Columns(file, cells, range(1, table.num_rows + 1), unit=": row ")


def _plain(file: Path, name: str, column: pa.ChunkedArray) -> list[Any]:
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError):
        # Text that is not UTF-8, times that Python has no value for: which row?
        for row, value in enumerate(column, start=1):
            try:
                value.as_py()
            except (ValueError, OverflowError) as failure:
                text = f"column '{name}' holds what cannot be read ({one_line(failure)})"
                raise DataError(f"{file}: row {row}: {text}") from None
        raise


READERS = {".csv": _read_csv, ".parquet": _read_parquet, ".jsonl": _read_jsonl}
"""File name extension -> reader."""
