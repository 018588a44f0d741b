import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gingham.training.order import batch_indices, sample_order, share, steps_per_epoch


@given(count=st.integers(1, 200), size=st.integers(1, 70), processes=st.integers(1, 4), accumulation=st.integers(1, 3))
def test_every_image_comes_once_an_epoch(count: int, size: int, processes: int, accumulation: int) -> None:
    order = sample_order(3, 5, count)
    seen = [
        row
        for step in range(steps_per_epoch(count, size))
        for rank in range(processes)
        for part in share(batch_indices(order, step, size), rank, processes, accumulation)
        for row in part.tolist()
    ]
    assert sorted(seen) == list(range(count))


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    first = sample_order(1, 2, 100)
    np.testing.assert_array_equal(first, sample_order(1, 2, 100))
    assert not np.array_equal(first, sample_order(1, 3, 100))
    assert not np.array_equal(first, sample_order(2, 2, 100))


def test_all_processes_together_have_the_batch_that_one_has() -> None:
    batch = sample_order(0, 0, 64)[:10]
    parts = [share(batch, rank, 3, 2) for rank in range(3)]
    assert sorted(row for rank in parts for part in rank for row in part.tolist()) == sorted(batch.tolist())
    assert [len(rank) for rank in parts] == [2, 2, 2]


def test_a_small_last_batch_leaves_a_process_without_images() -> None:
    assert [len(part) for part in share(np.array([4], dtype=np.int64), 1, 2, 2)] == [0, 0]
