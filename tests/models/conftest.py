from collections.abc import Iterator

import pytest
import torch

from gingham.schema import AttributeSchema


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small tensors: threads cost more than they bring, and collapse when the machine is shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def schema() -> AttributeSchema:
    return AttributeSchema.of(
        {"pattern": ["floral", "striped", "solid"], "sleeve": ["long", "short"], "fit": ["a", "b", "c", "d"]}
    )
