import math

import numpy as np
import pytest
import torch

from gingham.models.position import SinePosition, sine_encoding

CPU = torch.device("cpu")


def test_a_tiny_case_by_hand() -> None:
    # width 8: four channels for the row, four for the column; frequencies 1 and 10000^(-2/4) = 1/100.
    found = sine_encoding((1, 2), 8, dtype=torch.float64, device=CPU).numpy()
    row = 2 * math.pi / (1 + 1e-6)
    first, second = 2 * math.pi / (2 + 1e-6), 4 * math.pi / (2 + 1e-6)

    def channels(angle: float) -> list[float]:
        return [math.sin(angle), math.cos(angle), math.sin(angle / 100), math.cos(angle / 100)]

    expected = np.array([channels(row) + channels(first), channels(row) + channels(second)])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("grid", [(3, 5), (7, 7), (1, 1), (12, 2)])
def test_against_loops(grid: tuple[int, int]) -> None:
    width = 16
    found = sine_encoding(grid, width, dtype=torch.float64, device=CPU)
    assert found.shape == (grid[0] * grid[1], width)
    half = width // 2
    for y in range(grid[0]):
        for x in range(grid[1]):
            for i in range(half):
                scale = 10000.0 ** (2 * (i // 2) / half)
                wave = math.sin if i % 2 == 0 else math.cos
                token = found[y * grid[1] + x]
                assert float(token[i]) == pytest.approx(
                    wave((y + 1) / (grid[0] + 1e-6) * 2 * math.pi / scale), abs=1e-12
                )
                assert float(token[half + i]) == pytest.approx(
                    wave((x + 1) / (grid[1] + 1e-6) * 2 * math.pi / scale), abs=1e-12
                )


def test_half_precision_is_rounded_once() -> None:
    precise = sine_encoding((4, 3), 32, dtype=torch.float32, device=CPU)
    for ready in (SinePosition(32, (4, 3)), SinePosition(32)):
        kept = ready.to(torch.bfloat16)
        assert torch.equal(kept((4, 3), torch.zeros(1, dtype=torch.bfloat16)), precise.to(torch.bfloat16))
        assert torch.equal(kept.to(torch.float32)((4, 3), torch.zeros(1)), precise)


def test_it_is_in_no_state_dict_and_survives_empty_memory() -> None:
    with torch.device("meta"):
        position = SinePosition(8, (2, 2))
    assert position.encoding.is_meta
    assert not position.state_dict()
    position = position.to_empty(device="cpu")
    assert torch.equal(position((2, 2), torch.zeros(1)), sine_encoding((2, 2), 8, dtype=torch.float32, device=CPU))
