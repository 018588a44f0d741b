"""The label readers on spoilt files: a table or a typed error of one line that names the file, whatever the bytes."""

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gingham.data.formats import infer_schema, read_labels
from gingham.data.table import LabelTable
from gingham.errors import DataError, SchemaError
from tests.data.builders import deepfashion, photo
from tests.fuzz.mutations import AWKWARD, HURTFUL, spoilt

ROWS = [
    {"image": f"{n}.png", "hue": ("red", "blue")[n % 2], "tone": ("dark", "light")[n // 2 % 2], "split": split}
    | {"x1": 1.0, "y1": 1, "x2": 5.5, "y2": 4}
    for n, split in enumerate(["train", "train", "val", "train", "test", "val"])
]
AWKWARD_BYTES = [token.encode() for token in AWKWARD]


def csv_file() -> bytes:
    lines = [",".join(ROWS[0]), *(",".join(map(str, row.values())) for row in ROWS)]
    return "\n".join(lines).encode()


def jsonl_file() -> bytes:
    return "\n".join(json.dumps(row) for row in ROWS).encode()


def parquet_file(compression: str) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), stream, compression=compression)
    return stream.getvalue()


TABLES = {
    ".csv": spoilt([csv_file(), csv_file().replace(b"\n", b"\r\n")], AWKWARD_BYTES),
    ".jsonl": spoilt([jsonl_file()], AWKWARD_BYTES),
    ".parquet": spoilt([parquet_file("none"), parquet_file("zstd")], HURTFUL),
}
LISTS = ("train.txt", "train_attr.txt", "train_bbox.txt", "val_attr.txt", "list_attr_cloth.txt")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzzed")
    for number in range(len(ROWS)):
        photo(folder / f"{number}.png", number)
    return folder


@pytest.fixture(scope="session")
def fashion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fuzzed-lists")
    deepfashion(root)
    shutil.copytree(root / "split", root / "good")
    return root


def table_or_typed_error(read: Callable[[], object], folder: Path) -> None:
    try:
        result = read()
    except (DataError, SchemaError) as failure:
        check_message(str(failure), folder)
    else:
        if isinstance(result, LabelTable):
            assert all(path.is_file() for path in result.paths())
            assert result.counts().sum() <= len(result) * len(result.schema)


def check_message(text: str, folder: Path) -> None:
    """One line that begins with a file, and the line or row in it, if one is to blame."""
    where = re.match(rf"{re.escape(str(folder))}/?([^: ]*)(?:: row (\d+)|:(\d+))?(?:: | lists \d+ images)", text)
    assert where, f"names no file: {text!r}"
    assert "\n" not in text
    file, row, line = where.groups()
    if line:
        data = (folder / file).read_bytes()
        assert 1 <= int(line) <= data.count(b"\n") + data.count(b"\r") + 1, text
    if row:
        assert 1 <= int(row) <= len(ROWS), text


def read_spoilt_table(photos: Path, kind: str, data: bytes) -> None:
    file = photos / f"labels{kind}"
    file.write_bytes(data)
    table_or_typed_error(lambda: read_labels(file), photos)
    table_or_typed_error(lambda: infer_schema(file), photos)


def read_spoilt_list(fashion: Path, name: str, data: bytes) -> None:
    (fashion / "split" / name).write_bytes(data)
    try:
        table_or_typed_error(lambda: read_labels(fashion), fashion)
    finally:
        shutil.copy(fashion / "good" / name, fashion / "split" / name)


def search(examples: int, property_: Callable[[bytes], None], data: st.SearchStrategy[bytes], known: bool) -> None:
    quiet = [HealthCheck.too_slow]
    run = settings(max_examples=examples, derandomize=known, database=None, deadline=None, suppress_health_check=quiet)(
        given(data)(property_)
    )
    run()


def list_bytes(fashion: Path, name: str) -> st.SearchStrategy[bytes]:
    return spoilt([(fashion / "good" / name).read_bytes()], AWKWARD_BYTES)


@pytest.mark.parametrize("kind", TABLES)
def test_spoilt_tables(photos: Path, kind: str) -> None:
    search(200, lambda data: read_spoilt_table(photos, kind, data), TABLES[kind], known=True)


@pytest.mark.parametrize("name", LISTS)
def test_spoilt_lists(fashion: Path, name: str) -> None:
    search(60, lambda data: read_spoilt_list(fashion, name, data), list_bytes(fashion, name), known=True)


@pytest.mark.long
@pytest.mark.parametrize("kind", TABLES)
def test_many_spoilt_tables(photos: Path, kind: str) -> None:
    search(5_000, lambda data: read_spoilt_table(photos, kind, data), TABLES[kind], known=False)


@pytest.mark.long
@pytest.mark.parametrize("name", LISTS)
def test_many_spoilt_lists(fashion: Path, name: str) -> None:
    search(2_000, lambda data: read_spoilt_list(fashion, name, data), list_bytes(fashion, name), known=False)
