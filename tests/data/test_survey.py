from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from gingham.data import survey as survey_module
from gingham.data.facts import ImageFacts, image_facts
from gingham.data.survey import clear_survey, survey, survey_bytes, survey_folder
from gingham.errors import ImageError, MachineError
from gingham.progress import Bar, Reporter
from tests.data.builders import photo


class _Counting(Reporter):
    """Adds up how many images are looked at."""

    def __init__(self) -> None:
        self.looked = 0

    @contextmanager
    def bar(self, description: str, total: int):  # type: ignore[no-untyped-def]
        self.looked += total
        yield Bar()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GINGHAM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Five photos of which 3 and 4 have the same bytes, and a broken one."""
    found = [photo(tmp_path / f"{number}.png", min(number, 3)) for number in range(5)]
    (tmp_path / "broken.png").write_text("broken")
    return [*found, tmp_path / "broken.png", tmp_path / "none.png"]


def _looked(files: list[Path], **options: int) -> int:
    reporter = _Counting()
    survey(files, reporter=reporter, **options)
    return reporter.looked


def test_facts_and_failures_in_order(files: list[Path]) -> None:
    for _ in range(2):
        found = survey(files, workers=1)
        assert found[:5] == [image_facts(file) for file in files[:5]]
        failures = [entry for entry in found[5:] if isinstance(entry, ImageError)]
        assert [entry.reason for entry in failures] == ["unreadable", "not_found"]
        assert "broken.png" in str(failures[0])


def test_what_was_seen_is_not_decoded_again_wherever_it_is(files: list[Path], tmp_path: Path) -> None:
    assert _looked(files) == 7
    assert _looked(files) == 2, "failures are looked at again: the file may be put right"
    moved = tmp_path / "moved.png"
    files[0].rename(moved)
    assert _looked([moved, *files[1:5]]) == 0
    photo(moved, 77)
    assert _looked([moved, *files[1:5]]) == 1


def test_kept_facts_obey_the_limit_of_pixels(files: list[Path]) -> None:
    survey(files[:5])
    found = survey(files[:5], max_pixels=10)
    assert {entry.reason for entry in found if isinstance(entry, ImageError)} == {"too_large"}
    assert all(isinstance(entry, ImageFacts) for entry in survey(files[:5]))


def test_damaged_files_of_the_cache_are_as_good_as_none(files: list[Path]) -> None:
    first = survey(files[:5])
    for shard in survey_folder().rglob("*.parquet"):
        shard.write_bytes(shard.read_bytes()[:-40])
    assert _looked(files[:5]) == 5
    assert survey(files[:5]) == first


def test_an_interrupted_pass_keeps_what_it_has_done(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey_module, "_SHARD_ROWS", 2)
    many = [photo(tmp_path / f"many-{number}.png", 50 + number) for number in range(6)]

    def until_the_fifth(path: Path, *, max_pixels: int) -> ImageFacts:
        if path == many[4]:
            raise KeyboardInterrupt
        return image_facts(path, max_pixels=max_pixels)

    with monkeypatch.context() as patch:
        patch.setattr(survey_module, "image_facts", until_the_fifth)
        with pytest.raises(KeyboardInterrupt):
            survey(many, workers=1)
    assert _looked(many) == 2


def test_the_cache_stays_within_its_limit(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    survey(files[:2])
    monkeypatch.setattr(survey_module, "_LIMIT", 1)
    survey(files[:3])
    assert not list(survey_folder().rglob("*.parquet"))


def test_what_is_kept_can_be_cleared(files: list[Path]) -> None:
    assert survey_bytes() == 0
    survey(files)
    size = survey_bytes()
    assert size > 0
    assert clear_survey() == size
    assert (survey_bytes(), clear_survey()) == (0, 0)
    assert _looked(files[:5]) == 5


def test_a_cache_that_cannot_be_made_is_the_machines_fault(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GINGHAM_CACHE", str(tmp_path / "file"))
    with pytest.raises(MachineError, match="GINGHAM_CACHE"):
        survey(files)


def test_files_are_not_changed(files: list[Path]) -> None:
    before = [file.read_bytes() for file in files[:6]]
    survey(files)
    assert [file.read_bytes() for file in files[:6]] == before
    with Image.open(files[0]) as image:
        assert image.format == "PNG"
