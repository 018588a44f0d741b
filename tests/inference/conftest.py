from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gingham.inference.tagger import Tagger
from tests import tiny


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors: threads cost more than they bring, and collapse when the machine is shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def wardrobe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.shared_wardrobe(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def photos(wardrobe: Path) -> list[Path]:
    return sorted((wardrobe / "img").iterdir())


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.shared_bundle(tmp_path_factory.getbasetemp(), "image")


@pytest.fixture(scope="session")
def box_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.shared_bundle(tmp_path_factory.getbasetemp(), "box")


@pytest.fixture
def tagger(model: Path) -> Tagger:
    return Tagger.load(model, device="cpu")


@pytest.fixture
def box_tagger(box_model: Path) -> Tagger:
    return Tagger.load(box_model, device="cpu")
