import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks import run
from benchmarks.comparison import QUICK, Row, Settings, Table
from benchmarks.gather import filled
from benchmarks.gather import main as gather
from benchmarks.process import MissingError
from benchmarks.run import LETTERS, is_done, measure_letter

REPOSITORY = Path(__file__).resolve().parents[2]
MACHINE = {
    "processor": "a processor",
    "units": ["avx2"],
    "cores": 2,
    "memory": 2**34,
    "python": "3.11.7",
    "packages": {"torch": "2.14.1"},
    "time": "2026-11-29T16:00:00+00:00",
    "commit": "abc1234",
}


def about(**changes: Any) -> dict[str, Any]:
    return {
        "letter": "decoding",
        "quick": True,
        "swin": False,
        "rounds": 3,
        "photos": "",
        "machine": MACHINE,
        **changes,
    }


def a_table() -> Table:
    return Table("A title", "plain", "photos", [Row("plain", [0.5], [1.0]), Row("ours", [0.25], [2.0])])


def settings(tmp_path: Path) -> Settings:
    return Settings(True, False, tmp_path, None, QUICK, say=lambda text: None)


def write(tmp_path: Path, **changes: Any) -> Path:
    file = tmp_path / f"{changes.get('letter', 'decoding')}.json"
    document = measure_letter(lambda settings: [a_table()], settings(tmp_path), about(**changes))
    file.write_text(json.dumps(document))
    return file


def test_what_was_measured_alike_is_done(tmp_path: Path) -> None:
    file = write(tmp_path)
    assert is_done(file, about())
    assert is_done(file, about(machine={**MACHINE, "time": "later"}))
    assert not is_done(tmp_path / "none.json", about())


@pytest.mark.parametrize(
    "changes",
    [{"quick": False}, {"swin": True}, {"rounds": 5}, {"photos": "mine"}, {"machine": {**MACHINE, "commit": "other"}}],
)
def test_what_was_measured_otherwise_is_not(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert not is_done(write(tmp_path), about(**changes))


def test_a_letter_that_cannot_be_measured_says_why_and_is_tried_again(tmp_path: Path) -> None:
    def refuse(settings: Settings) -> list[Table]:
        raise MissingError("no export yet")

    found = measure_letter(refuse, settings(tmp_path), about())
    assert (found["tables"], found["missing"]) == ([], "no export yet")
    (tmp_path / "decoding.json").write_text(json.dumps(found))
    assert not is_done(tmp_path / "decoding.json", about())


def test_an_interrupted_run_goes_on_with_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []
    stop_at = "decoding"

    class Letter:
        def __init__(self, name: str) -> None:
            self.name = name.removeprefix("benchmarks.")

        def measure(self, settings: Settings) -> list[Table]:
            if self.name == stop_at:
                raise KeyboardInterrupt
            measured.append(self.name)
            return [a_table()]

    monkeypatch.setattr(run, "import_module", Letter)
    monkeypatch.setattr("benchmarks.machine.describe", lambda: MACHINE)
    arguments = ["--quick", "--out", str(tmp_path)]
    assert CliRunner().invoke(run.main, arguments).exit_code != 0
    assert measured == ["networks", "tagging"]
    stop_at = ""
    result = CliRunner().invoke(run.main, arguments)
    assert result.exit_code == 0, result.output
    assert measured == list(LETTERS)
    assert "networks: done already" in result.output
    assert CliRunner().invoke(run.main, [*arguments, "--only", "rates", "--again"]).exit_code == 0
    assert measured == [*LETTERS, "rates"]


def test_text_goes_between_its_markers() -> None:
    page = "a\n<!-- bench:rates -->\nold\n<!-- /bench:rates -->\nb\n"
    once = filled(page, "rates", "new")
    assert once == "a\n<!-- bench:rates -->\n\nnew\n\n<!-- /bench:rates -->\nb\n"
    assert filled(once, "rates", "new") == once


@pytest.mark.parametrize(
    "page",
    [
        "",
        "<!-- bench:rates -->",
        "<!-- /bench:rates --><!-- bench:rates -->",
        "<!-- bench:rates --><!-- bench:rates --><!-- /bench:rates -->",
    ],
)
def test_a_page_without_its_markers_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="bench:rates"):
        filled(page, "rates", "new")


def test_the_page_has_markers_for_every_letter_and_takes_the_tables(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text((REPOSITORY / "docs" / "performance.md").read_text(encoding="utf-8"), encoding="utf-8")
    for letter in LETTERS[:-1]:
        write(tmp_path, letter=letter)
    result = CliRunner().invoke(gather, [str(tmp_path), "--page", str(page)])
    assert result.exit_code == 0, result.output
    assert f"{LETTERS[-1]}: not measured" in result.output
    text = page.read_text(encoding="utf-8")
    assert text.count("| ours | 4 | 2.00 [2.00, 2.00] |") == len(LETTERS) - 1
    assert "`python -m benchmarks.run --only networks --quick`" in text
    assert "a processor, 2 cores, 16 GB, avx2; Python 3.11.7, torch 2.14.1; commit `abc1234`, 2026-11-29." in text
