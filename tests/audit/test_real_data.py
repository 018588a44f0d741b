"""What is known of the challenge's photos is found in them. Only names are written here, no photo and no label."""

from pathlib import Path

import pytest

from gingham.audit.collect import audit
from gingham.data.formats import read_labels
from gingham.progress import Reporter
from gingham.training.intake import Rules, take_in

_IDENTICAL = {
    ("img/00004.jpg", "img/03006.jpg"),
    ("img/00343.jpg", "img/02502.jpg"),
    ("img/00848.jpg", "img/04493.jpg"),
    ("img/03756.jpg", "img/03536.jpg"),
    ("img/04953.jpg", "img/06995.jpg"),
    ("img/03588.jpg", "img/04375.jpg"),
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GINGHAM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.mark.parametrize("every", [pytest.param(60, id="a part"), pytest.param(1, id="all", marks=pytest.mark.long)])
def test_the_identical_pairs_of_the_challenge(shared: Path, every: int) -> None:
    table = read_labels(shared / "FashionDataset")
    known = {name for pair in _IDENTICAL for name in pair}
    part = table.take([row for row, name in enumerate(table.images) if name in known or row % every == 0])
    report = audit(part)
    assert {pair.images for pair in report.pairs if pair.kind == "identical"} == _IDENTICAL
    assert sum(pair.kind == "identical" and bool(pair.differing) for pair in report.pairs) == 2
    assert {pair.images for pair in report.straddling if pair.kind == "identical"} == {
        ("img/03756.jpg", "img/03536.jpg"),
        ("img/04953.jpg", "img/06995.jpg"),
    }
    assert not report.unreadable
    if every == 1:
        assert len(report.combinations) == 55
        assert len(report.near) == 5, "looked at: each is one photo twice"
    _, intake = take_in(part, Rules(), workers=2, reporter=Reporter())
    assert dict(intake.copies) == {"img/03756.jpg": "img/03536.jpg", "img/04953.jpg": "img/06995.jpg"}
