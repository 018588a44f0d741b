"""What is planted in a wardrobe is found, and nothing else."""

from pathlib import Path

import pytest

from gingham.audit.collect import audit
from gingham.audit.report import Report
from gingham.data.formats import read_labels
from gingham.data.options import DataOptions
from gingham.data.preprocess import Preprocess
from gingham.inference.bundle import open_bundle
from gingham.inference.member import Member
from gingham.inference.save import write_bundle
from gingham.models.network import build_network
from gingham.models.options import ModelOptions
from gingham.models.weights import input_statistics
from gingham.wardrobe import generate
from tests import tiny
from tests.audit.planted import Planted, plant


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GINGHAM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def _pairs(report: Report, kind: str) -> set[frozenset[str]]:
    return {frozenset(pair.images) for pair in report.pairs if pair.kind == kind}


def _check_pictures(report: Report, planted: Planted) -> None:
    assert _pairs(report, "identical") == planted.identical
    found = _pairs(report, "near")
    assert len(found & planted.near) >= 0.95 * len(planted.near), "recall"
    assert len(found & planted.near) >= 0.95 * len(found), "precision"
    assert {entry.image for entry in report.unreadable} == planted.corrupt
    straddling = {frozenset(pair.images) for pair in report.straddling}
    split = dict(zip(read_labels(planted.folder).images, read_labels(planted.folder).splits, strict=True))
    assert straddling & (planted.identical | planted.near) == {
        pair for pair in planted.identical | planted.near if len({split[image] for image in pair}) == 2
    }


def test_duplicates_and_corrupt_files_of_a_small_wardrobe(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    wardrobe = tiny.shared_wardrobe(tmp_path_factory.getbasetemp())
    planted = plant(wardrobe, tmp_path / "planted", identical=6, near=8, corrupt=4, swapped=0)
    report = audit(read_labels(planted.folder))
    _check_pictures(report, planted)
    assert _pairs(report, "near") == planted.near
    assert report.label_errors is None
    assert not report.boxes


@pytest.mark.long
def test_all_faults_of_a_large_wardrobe(tmp_path: Path) -> None:
    """1,200 garments: 45 identical and 80 near duplicates, 8 corrupt files, and 50 swapped labels over six attributes.

    The backbone has the ImageNet weights that come along; nobody trained it on garments.
    """
    generate(tmp_path / "wardrobe", 1200, 5, processes=2)
    planted = plant(tmp_path / "wardrobe", tmp_path / "planted", identical=45, near=80, corrupt=8, swapped=50)
    report = audit(read_labels(planted.folder), bundle=open_bundle(_untrained(tmp_path / "model")))
    _check_pictures(report, planted)
    worst = {(error.image, error.attribute) for error in report.ranked_errors[:100]}
    assert len(worst & planted.swapped) >= 0.8 * len(planted.swapped)


def _untrained(path: Path) -> Path:
    model = ModelOptions.parse({"backbone": "tf_efficientnet_lite0", "weights": "package", "head": "linear"})
    mean, std = input_statistics(model.backbone, model.weights)
    write_bundle(
        path,
        network=build_network(model, tiny.SCHEMA, image_size=224, mean=mean, std=std),
        member=Member(model=model, preprocess=Preprocess(mean=mean, std=std)),
        schema=tiny.SCHEMA,
        data=DataOptions(),
        trained={},
        card="",
    )
    return path
