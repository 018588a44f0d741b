"""Settings of PyTorch under which the same input gives the same bits."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["deterministic_torch"]


@contextmanager
def deterministic_torch() -> Iterator[None]:
    """One thread and deterministic algorithms, for the calling thread's work in this block; then all is as before.

    The number of threads decides how sums are cut into parts, and so their rounding. An operation that has no
    deterministic algorithm on the device raises `RuntimeError`.
    """
    # cuBLAS reads it when it is used first.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    threads, cudnn = torch.get_num_threads(), torch.backends.cudnn
    strict, lenient = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    chosen = cudnn.deterministic, cudnn.benchmark
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict, warn_only=lenient)
        cudnn.deterministic, cudnn.benchmark = chosen
