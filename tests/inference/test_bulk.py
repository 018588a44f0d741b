import contextlib
import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gingham.data.columns import read_columns
from gingham.errors import MachineError, UserError
from gingham.inference import bulk
from gingham.inference.bulk import STATISTICS, TABLE_WRITERS, table_writer, tag_images
from gingham.inference.items import printable
from gingham.inference.tagger import Item, Tagger
from gingham.progress import Bar, Reporter
from gingham.schema import AttributeSchema
from gingham.storage import sha256_file
from tests import tiny


@pytest.fixture
def items(photos: list[Path]) -> list[Item]:
    return [Item(photo.name, photo) for photo in photos[:6]] + [Item('z, "broken".jpg', b"plain text")]


def read(file: Path) -> list[dict[str, Any]]:
    if file.suffix == ".csv":
        with file.open(encoding="utf-8", newline="") as stream:
            return list(csv.DictReader(stream))
    if file.suffix == ".jsonl":
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return rows


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl", ".CSV"])
def test_every_format_holds_the_same(tagger: Tagger, items: list[Item], tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"tags{ending}"
    assert tag_images(tagger, items, out, total=len(items), options={}) == 1
    rows = read(out.rename(tmp_path / f"tags{ending.lower()}"))
    names = tagger.schema.names
    assert list(rows[0]) == ["image", *(c for name in names for c in (name, f"{name}_confidence")), "error"]
    assert [row["image"] for row in rows] == [item.id for item in items]
    for row, item in zip(rows[:-1], items, strict=False):
        assert row["error"] == ""
        for name, tag in tagger(item.source).items():
            assert row[name] == tag.label
            assert abs(float(row[f"{name}_confidence"]) - tag.confidence) <= 1e-5
    assert rows[-1]["error"] == "unreadable"
    assert all(not rows[-1][column] for column in list(rows[0])[1:-1])


def test_the_manifest_says_what_made_the_table(tagger: Tagger, items: list[Item], tmp_path: Path) -> None:
    out = tmp_path / "tags.csv"
    tag_images(tagger, items, out, total=len(items), options={"split": None, "batch_size": 4}, batch_size=4)
    manifest = json.loads((tmp_path / "tags.csv.manifest.json").read_text())
    assert manifest["model"] == tagger.hash
    assert manifest["schema"] == tagger.schema.to_plain()
    assert manifest["schema_fingerprint"] == tagger.schema.fingerprint
    assert manifest["sha256"] == sha256_file(out)
    assert (manifest["rows"], manifest["unreadable"]) == (7, 1)
    assert manifest["options"] == {"split": None, "batch_size": 4}
    assert [member["preprocess"]["size"] for member in manifest["members"]] == [64]
    assert manifest["members"][0]["test_time"]["scales"] == [1.0]
    assert {entry.name for entry in tmp_path.iterdir()} == {"tags.csv", "tags.csv.manifest.json"}


def test_progress_reaches_the_end(tagger: Tagger, items: list[Item], tmp_path: Path) -> None:
    heard: list[int] = []

    class Heard(Bar):
        def advance(self, amount: int = 1, note: str = "") -> None:
            heard.append(amount)

    class Listening(Reporter):
        def bar(self, description: str, total: int) -> Any:
            assert total == len(items)
            return contextlib.nullcontext(Heard())

    tag_images(tagger, items, tmp_path / "a.csv", total=len(items), options={}, reporter=Listening())
    assert sum(heard) == len(items)


def test_another_ending_is_refused() -> None:
    assert list(TABLE_WRITERS) == [".csv", ".parquet", ".jsonl"]
    with pytest.raises(UserError, match=r"--out tags.xlsx: the ending must be one of .csv, .parquet, .jsonl"):
        table_writer(Path("tags.xlsx"))


@pytest.mark.parametrize("failure", [KeyboardInterrupt, SystemExit, RuntimeError])
@pytest.mark.parametrize("ending", list(TABLE_WRITERS))
def test_what_ends_early_leaves_the_older_table(
    tagger: Tagger, items: list[Item], tmp_path: Path, ending: str, failure: type[BaseException]
) -> None:
    def broken() -> Iterator[Item]:
        yield from items[:4]
        raise failure

    out = tmp_path / f"tags{ending}"
    out.write_text("older")
    with pytest.raises(failure):
        tag_images(tagger, broken(), out, total=4, options={}, batch_size=2)
    assert out.read_text() == "older"
    assert [entry.name for entry in tmp_path.iterdir()] == [out.name]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("ending", list(TABLE_WRITERS))
def test_a_full_disk_is_the_machines_fault(
    tagger: Tagger, items: list[Item], tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The temporary file of `atomic_file` is a door to a device that is always full.
    monkeypatch.setattr("gingham.storage._sibling", lambda path: path.with_name("temporary"))
    (tmp_path / "temporary").symlink_to("/dev/full")
    with pytest.raises(MachineError, match=r"the disk is full"):
        tag_images(tagger, items, tmp_path / f"tags{ending}", total=len(items), options={})
    assert not list(tmp_path.iterdir())


def test_large_tables_are_written_in_groups(
    tagger: Tagger, items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "_ROWS_PER_GROUP", 3)
    tag_images(tagger, items, tmp_path / "a.parquet", total=len(items), options={})
    file = pq.ParquetFile(tmp_path / "a.parquet")
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [3, 3, 1]
    assert [row["image"] for row in read(tmp_path / "a.parquet")] == [item.id for item in items]


def test_names_that_are_no_utf8_can_be_written(tagger: Tagger, photos: list[Path], tmp_path: Path) -> None:
    name = printable(os.fsdecode(b"caf\xe9 \xc3\xa9.jpg"))
    for ending in TABLE_WRITERS:
        tag_images(tagger, [Item(name, photos[0])], tmp_path / f"a{ending}", total=1, options={})
        assert read(tmp_path / f"a{ending}")[0]["image"] == "caf\\udce9 é.jpg"


def test_tags_are_the_best_class_and_its_probability(tagger: Tagger) -> None:
    logits = np.zeros(tagger.schema.total, dtype=np.float32)
    logits[2] = np.log(3.0)
    tags = tagger.tags(logits)
    first = tagger.schema.attributes[0]
    assert tags[first.name].label == first.classes[2]
    assert tags[first.name].confidence == pytest.approx(3 / (3 + len(first) - 1))


def test_csv_holds_no_formula(tmp_path: Path, photos: list[Path]) -> None:
    """Names of images, attributes and classes that a spreadsheet would run; the other formats have no such readers."""
    classes = {"=kind": ["@SUM(A1)", "-2+3"], "+size": ["=cmd|' /C calc'!A0", " plain".strip()]}
    network = tiny.network(AttributeSchema.of(classes))
    tagger = Tagger([tiny.voter(network, tiny.preprocess())], AttributeSchema.of(classes))
    names = ["=1+1.jpg", " =1.jpg", "\t=1.jpg", "a;=1.jpg", "'=1.jpg", '","=1.jpg', "'plain.jpg", "plain.jpg"]
    items = [Item(name, photo) for name, photo in zip(names, photos, strict=False)]
    for ending in (".csv", ".jsonl", ".parquet"):
        tag_images(tagger, items, tmp_path / f"t{ending}", total=len(items), options={})
    text = (tmp_path / "t.csv").read_text(encoding="utf-8")
    for separator in ",;\t|":
        for cell in (cell for row in csv.reader(text.splitlines(), delimiter=separator) for cell in row):
            assert cell.lstrip()[:1] not in {*"=+-@"} or not cell.lstrip(), (separator, cell)
            assert not cell.startswith("\t")
    rows = read(tmp_path / "t.jsonl")
    assert [row["image"] for row in rows] == names
    assert read(tmp_path / "t.parquet") == rows
    columns = read_columns(tmp_path / "t.csv")
    assert list(columns.cells) == list(rows[0])
    assert list(columns.cells["image"]) == names
    assert [list(columns.cells[name]) for name in classes] == [[row[name] for row in rows] for name in classes]
    assert [row["=kind_confidence"] for row in rows] == pytest.approx(
        [float(value) for value in columns.cells["=kind_confidence"]], abs=1e-6
    )
    manifests = [json.loads((tmp_path / f"t{ending}.manifest.json").read_text()) for ending in (".csv", ".jsonl")]
    assert [manifest["formulas"][:4] for manifest in manifests] == ["text", "as t"]


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_statistics_of_images_are_written_on_request(tagger: Tagger, tmp_path: Path, ending: str) -> None:
    """Sizes as they are, brightness of a grey image by hand, the share of a box that is a quarter of the image."""
    grey = Image.new("RGB", (60, 40), (51, 51, 51))
    box = np.array([0, 0, 30, 20], dtype=np.float32)
    items = [Item("a", grey, box), Item("b", grey), Item("c", b"plain text")]
    out = tmp_path / f"tags{ending}"
    tag_images(tagger, items, out, total=3, options={}, statistics=True)
    rows = [[row[name] for name in STATISTICS] for row in read(out)]
    assert list(map(float, rows[0])) == pytest.approx([60, 40, 0.2, 0.25])
    assert list(map(float, rows[1][:3])) == pytest.approx([60, 40, 0.2])
    assert rows[1][3] in (None, "")
    assert rows[2] in ([None] * 4, [""] * 4)
