import torch
from accelerate import Accelerator

from gingham.training.generators import gather_generators, restore_generators


def test_restored_generators_draw_the_same_again() -> None:
    accelerator = Accelerator(cpu=True)
    torch.manual_seed(5)
    torch.rand(3)
    states = gather_generators(accelerator)
    assert list(states) == ["0:cpu"]
    drawn = torch.rand(4)
    assert not torch.equal(torch.rand(4), drawn)
    restore_generators(states, accelerator)
    assert torch.equal(torch.rand(4), drawn)
