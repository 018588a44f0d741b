"""A study small enough to be conducted in seconds."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.training.conftest import own_cache, photos

__all__ = ["own_cache", "photos"]

SHARED = {
    "model.backbone": "test_resnet",
    "model.weights": "none",
    "model.head": "linear",
    "model.frozen": True,
    "features.cache": True,
    "features.views": 1,
    "preprocess.size": 64,
    "augment.resize": 72,
    "train.choose": "last",
    "train.epochs": 2,
    "train.batch_size": 10,
    "train.learning_rate": 1e-2,
    "train.workers": 1,
}

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny_study(**changes: Any) -> dict[str, Any]:
    plain: Mapping[str, Any] = {
        "recipe": "report",
        "baseline": "plain",
        "folds": 2,
        "seeds": [0, 1],
        "set": SHARED,
        "runs": {"focal": {"loss.name": "focal"}, "plain": {}},
    }
    return {**plain, **changes}


@pytest.fixture
def study_file(tmp_path: Path) -> Write:
    """Writes a study file: the small study with changes of its fields."""

    def write(**changes: Any) -> Path:
        file = tmp_path / "tiny.yaml"
        file.write_text(yaml.safe_dump(tiny_study(**changes), sort_keys=False))
        return file

    return write
