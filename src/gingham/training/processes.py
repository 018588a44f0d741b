"""What becomes of the other processes of a run when one of them ends."""

import contextlib
from collections.abc import Iterator

import torch

from gingham.errors import MachineError

__all__ = ["lost_processes"]


@contextlib.contextmanager
def lost_processes() -> Iterator[None]:
    """Turn the errors of a connection that another process no longer answers into one line.

    Raises:
        MachineError: another process of the run has ended; it said why.
    """
    try:
        yield
    except RuntimeError as failure:
        # Gloo's errors have no class of their own.
        if not isinstance(failure, torch.distributed.DistError) and "/gloo/" not in str(failure):
            raise
        raise MachineError(
            "another process of this run has ended, and its own message says why; this one ends too"
        ) from failure
