import pytest

from gingham.data.formats import read_labels
from gingham.data.table import LabelTable
from gingham.evaluation import agreement as agreements
from gingham.evaluation.agreement import Bound
from gingham.export import export as module
from gingham.inference.bundle import Bundle, open_bundle
from tests import tiny


@pytest.fixture(scope="session")
def wardrobe(tmp_path_factory: pytest.TempPathFactory) -> LabelTable:
    return read_labels(tiny.shared_wardrobe(tmp_path_factory.getbasetemp()))


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return open_bundle(tiny.shared_bundle(tmp_path_factory.getbasetemp(), "image"))


@pytest.fixture
def any_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty photos and random weights: what the bounds are is tested elsewhere."""
    monkeypatch.setattr(module, "BOUNDS", dict.fromkeys(agreements.BOUNDS, Bound(tags=0, accuracy=1, logits=9)))
