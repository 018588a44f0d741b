"""The states of the random generators, which dropout draws from: every process has its own."""

from collections.abc import Mapping

import torch
from accelerate import Accelerator
from torch import Tensor

__all__ = ["gather_generators", "restore_generators"]


def gather_generators(accelerator: Accelerator) -> dict[str, Tensor]:
    """`rank:device` -> state (uint8), of all processes; all of them must call this."""
    device = accelerator.device
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state()
    gathered = {name: accelerator.gather(state.to(device)[None]).cpu() for name, state in states.items()}
    return {f"{rank}:{name}": row.clone() for name, rows in gathered.items() for rank, row in enumerate(rows)}


def restore_generators(generators: Mapping[str, Tensor], accelerator: Accelerator) -> None:
    """Set this process's generators back to what `gather_generators` gave. Raises `KeyError`: of fewer processes."""
    rank = accelerator.process_index
    torch.set_rng_state(generators[f"{rank}:cpu"])
    if accelerator.device.type == "cuda" and f"{rank}:cuda" in generators:
        torch.cuda.set_rng_state(generators[f"{rank}:cuda"])
