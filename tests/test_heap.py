"""Freed memory that is kept: counted in pages that the system had to clear."""

import subprocess
import sys

import pytest

_PROGRAM = """
import ctypes, resource
from gingham.heap import keep_freed_memory

c = ctypes.CDLL(None)
c.malloc.restype, c.malloc.argtypes, c.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
size = 200_000_000

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        block = c.malloc(size)
        ctypes.memset(block, 1, size)
        c.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults()
done = keep_freed_memory()
faults()
print(done, before, faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it is glibc that gives memory back")
def test_memory_is_cleared_once() -> None:
    found = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    done, before, after = found.stdout.split()
    if done == "False":
        pytest.skip("the C library is another one")
    # With pages of 4 kB or of 2 MB: three times as many as the block has, and then none.
    assert int(before) >= 250
    assert int(after) < 50


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from gingham.heap import keep_freed_memory

    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
