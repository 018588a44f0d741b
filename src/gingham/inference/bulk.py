"""Tagging many images into one table: CSV, Parquet or JSON Lines, with a manifest beside it."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from itertools import islice
from math import isnan
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import gingham
from gingham.data.cells import escaped
from gingham.errors import UserError
from gingham.inference.decide import Decider, Tag
from gingham.inference.tagger import Item, Outcome, Tagger
from gingham.progress import Bar, Reporter
from gingham.schema import AttributeSchema
from gingham.storage import atomic_file, sha256_file, write_json

__all__ = ["STATISTICS", "TABLE_WRITERS", "table_columns", "table_writer", "tag_images"]

Row = Mapping[str, Any]
Write = Callable[[Row], None]
Kinds = Mapping[str, pa.DataType]
"""Column -> what its cells are, in order."""

STATISTICS: Kinds = {
    "image_width": pa.int64(),
    "image_height": pa.int64(),
    "image_brightness": pa.float64(),
    "box_share": pa.float64(),
}
"""What a table may say of the images themselves; in the order of `Facts`."""

_ROWS_PER_GROUP = 10_000
_AT_ONCE = 64
"""Images whose tags are made together: one at a time, that takes ten times as long."""
_FORMULAS = "text that a spreadsheet would run has a ' before it; Gingham's readers take it away"


def tag_images(
    tagger: Tagger,
    items: Iterable[Item],
    out: Path,
    *,
    total: int,
    options: Mapping[str, Any],
    batch_size: int | None = None,
    workers: int = 2,
    reporter: Reporter | None = None,
    decider: Decider | None = None,
    statistics: bool = False,
) -> int:
    """Tag images in the order given and write one row each; return how many could not be read.

    A row has `image`, for each attribute its class and `<attribute>_confidence` (0..1), and `error`: empty, or the
    reason why this image could not be read (its tags are then empty). If the decider was asked for them, there are
    further `<attribute>_accepted` (true or false), `<attribute>_set` (a list of classes), and `<attribute>_top` with
    `<attribute>_top_confidence` (lists); in CSV, lists are JSON. With `statistics`, there are `image_width` and
    `image_height` (pixels), `image_brightness` (mean, 0..1) and `box_share` (of the area; empty without a box). In CSV,
    text that a spreadsheet would run has a single quote before it (`data.cells`), which the manifest says.
    `<out>.manifest.json` is written last.

    Args:
        tagger: the model.
        items: the images.
        out: a `.csv`, `.parquet` or `.jsonl` file; an older one is replaced when the new one is whole.
        total: number of items, for the progress bar.
        options: what the manifest shall say of the call.
        batch_size: images in one pass of the network; see `Tagger.batch_size`.
        workers: decoding threads.
        reporter: shows progress.
        decider: what to say of each attribute; see `Tagger.decider`. Default: class and confidence.
        statistics: also write what `gingham monitor` compares of the images themselves.

    Raises:
        UserError: the ending of `out` is none of the three, or two columns would have one name.
        MachineError: the disk is full or refuses; nothing is left at `out`.
    """
    writer = table_writer(out)
    decider = decider or tagger.decider()
    kinds = table_columns(tagger.schema, decider, statistics=statistics)
    failed = count = 0
    with (reporter or Reporter()).bar("tagging", total) as bar, writer(out, kinds) as write:
        outcomes = _heard(tagger.stream(items, batch_size=batch_size, workers=workers), bar)
        while group := list(islice(outcomes, _AT_ONCE)):
            for row in _rows(group, decider, kinds):
                write(row)
            failed += sum(outcome.logits is None for outcome in group)
            count += len(group)
    manifest = {
        "gingham": gingham.__version__,
        "table": out.name,
        "sha256": sha256_file(out),
        "rows": count,
        "unreadable": failed,
        "model": tagger.hash,
        "runtime": tagger.runtime,
        "schema": tagger.schema.to_plain(),
        "schema_fingerprint": tagger.schema.fingerprint,
        "members": [
            {
                "preprocess": voter.preprocess.model_dump(mode="json"),
                "test_time": voter.test_time.model_dump(mode="json"),
            }
            for voter in tagger.voters
        ],
        "formulas": _FORMULAS if out.suffix.lower() == ".csv" else "as they are",
        "calibration": dict(tagger.calibration.facts) or None,
        "promise": None if decider.decisions is None else asdict(decider.decisions),
        "options": dict(options),
    }
    write_json(out.with_name(f"{out.name}.manifest.json"), manifest)
    return failed


def table_writer(out: Path) -> Callable[[Path, Kinds], AbstractContextManager[Write]]:
    """The writer for a file's ending.

    Raises:
        UserError: an ending that no writer has.
    """
    try:
        return TABLE_WRITERS[out.suffix.lower()]
    except KeyError:
        raise UserError(f"--out {out}: the ending must be one of {', '.join(TABLE_WRITERS)}") from None


def table_columns(schema: AttributeSchema, decider: Decider, *, statistics: bool = False) -> Kinds:
    """The columns of a table of tags.

    Raises:
        UserError: an attribute is called as a column of another one.
    """
    kinds = [("image", pa.string())]
    for name in schema.names:
        kinds += [(name, pa.string()), (f"{name}_confidence", pa.float64())]
        if decider.precision is not None:
            kinds.append((f"{name}_accepted", pa.bool_()))
        if decider.coverage is not None:
            kinds.append((f"{name}_set", pa.list_(pa.string())))
        if decider.top_k is not None:
            kinds += [(f"{name}_top", pa.list_(pa.string())), (f"{name}_top_confidence", pa.list_(pa.float64()))]
    kinds += list(STATISTICS.items()) if statistics else []
    kinds.append(("error", pa.string()))
    columns = dict(kinds)
    if len(columns) < len(kinds):
        twice = next(name for name, times in Counter(name for name, _ in kinds).items() if times > 1)
        raise UserError(f"two columns would be called '{twice}': leave --coverage, --top-k or --statistics out")
    return columns


def _heard(outcomes: Iterable[Outcome], bar: Bar) -> Iterator[Outcome]:
    for outcome in outcomes:
        bar.advance()
        yield outcome


def _rows(outcomes: Sequence[Outcome], decider: Decider, kinds: Kinds) -> Iterator[Row]:
    read = [outcome.logits for outcome in outcomes if outcome.logits is not None]
    tags = iter(decider.many(np.stack(read)) if read else [])
    for outcome in outcomes:
        yield _row(outcome, next(tags) if outcome.logits is not None else {}, kinds)


def _row(outcome: Outcome, tags: Mapping[str, Tag], kinds: Kinds) -> Row:
    row: dict[str, Any] = dict.fromkeys(kinds)
    row["image"] = outcome.id
    if outcome.logits is not None:
        for name, tag in tags.items():
            row.update(_cells(name, tag))
        if outcome.facts is not None and "image_width" in kinds:
            width, height, brightness, share = outcome.facts
            row |= zip(STATISTICS, (width, height, brightness, None if isnan(share) else share), strict=True)
    row["error"] = outcome.error.reason if outcome.error else ""
    return row


def _cells(name: str, tag: Tag) -> Row:
    cells: dict[str, Any] = {name: tag.label, f"{name}_confidence": tag.confidence}
    if tag.accepted is not None:
        cells[f"{name}_accepted"] = tag.accepted
    if tag.among is not None:
        cells[f"{name}_set"] = list(tag.among)
    if tag.top is not None:
        cells[f"{name}_top"] = [label for label, _ in tag.top]
        cells[f"{name}_top_confidence"] = [confidence for _, confidence in tag.top]
    return cells


@contextmanager
def _write_csv(out: Path, kinds: Kinds) -> Iterator[Write]:
    with atomic_file(out) as stream:
        # All text is in quotes, so that no other separator (`;` in much of Europe) cuts a formula out of it.
        writer = csv.writer(_Utf8(stream), quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        writer.writerow([escaped(name) for name in kinds])

        def write(row: Row) -> None:
            writer.writerow([_csv_cell(row[name]) for name in kinds])

        yield write


def _csv_cell(value: str | int | float | bool | list[Any] | None) -> str | float:
    if isinstance(value, bool | list):
        return json.dumps(value, ensure_ascii=False)
    # Numbers have as many digits as tell them from all others.
    return value if isinstance(value, int | float) else escaped(value or "")


class _Utf8:
    """Text into a binary stream, without a buffer of its own that would outlive the stream when that fails."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(text.encode())


@contextmanager
def _write_jsonl(out: Path, kinds: Kinds) -> Iterator[Write]:
    with atomic_file(out) as stream:

        def write(row: Row) -> None:
            stream.write((json.dumps(row, ensure_ascii=False) + "\n").encode())

        yield write


@contextmanager
def _write_parquet(out: Path, kinds: Kinds) -> Iterator[Write]:
    arrow = pa.schema(list(kinds.items()))
    rows: list[Row] = []
    with atomic_file(out) as stream, pq.ParquetWriter(stream, arrow, compression="zstd") as writer:

        def write(row: Row) -> None:
            rows.append(row)
            if len(rows) == _ROWS_PER_GROUP:
                writer.write_table(pa.Table.from_pylist(rows, arrow))
                rows.clear()

        yield write
        writer.write_table(pa.Table.from_pylist(rows, arrow))


TABLE_WRITERS: dict[str, Callable[[Path, Kinds], AbstractContextManager[Write]]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
    ".jsonl": _write_jsonl,
}
