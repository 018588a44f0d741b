import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gingham.losses import AttributeLoss, LossOptions, soft_targets
from gingham.schema import AttributeSchema
from gingham.training.mix import Mixing, MixOptions, draw_mixing, mixed_inputs, mixed_targets

SCHEMA = AttributeSchema.of({"hue": ["red", "green", "blue"], "tone": ["dark", "light"]})
F64 = torch.float64
GRID = (7, 5)

options = st.builds(
    MixOptions,
    mixup=st.sampled_from([0.0, 0.1, 1.0]),
    cutmix=st.sampled_from([0.0, 0.3, 1.0]),
    switch=st.floats(0, 1),
    probability=st.floats(0, 1),
    mode=st.sampled_from(["batch", "element"]),
)
steps = st.integers(0, 2**40)
counts = st.integers(1, 9)


def pair(share: float, rectangle: tuple[int, int, int, int] = (0, 0, 0, 0)) -> Mixing:
    """Two images, the first one of which keeps `share`; the second stays as it is."""
    return Mixing(np.array([1, 0]), np.array([share, 1.0]), np.array([rectangle, (0, 0, 0, 0)]))


@given(options, steps, counts)
@settings(max_examples=60, deadline=None)
def test_a_drawing_is_a_function_of_seed_and_step_and_within_bounds(mix: MixOptions, step: int, count: int) -> None:
    drawn, again = (draw_mixing(mix, 3, step, count, GRID) for _ in range(2))
    if drawn is None or again is None:
        assert drawn is again
        assert count == 1 or not mix.used
        return
    assert all(
        np.array_equal(getattr(drawn, name), getattr(again, name)) for name in ("partners", "shares", "rectangles")
    )
    assert sorted(drawn.partners.tolist()) == list(range(count))
    assert (drawn.partners != np.arange(count)).all()
    assert ((drawn.shares >= 0) & (drawn.shares <= 1)).all()
    if mix.mode == "batch":
        assert len({*drawn.shares.tolist()}) == 1
        assert len({*map(tuple, drawn.rectangles.tolist())}) == 1
    top, left, bottom, right = drawn.rectangles.T
    assert ((top >= 0) & (top <= bottom) & (bottom <= GRID[0])).all()
    assert ((left >= 0) & (left <= right) & (right <= GRID[1])).all()


@given(options.filter(lambda mix: mix.used), steps, st.integers(2, 9))
@settings(max_examples=60, deadline=None)
def test_the_share_is_the_share_of_cells_that_stay(mix: MixOptions, step: int, count: int) -> None:
    drawn = draw_mixing(mix, 0, step, count, GRID)
    assert drawn is not None
    # Image n is filled with n: what is found in a mixed one says where it came from.
    rows = np.arange(count) * 10
    tokens = mixed_inputs(drawn, lambda wanted: _filled(wanted), rows, np.arange(count), GRID).numpy()[:, :, 0]
    for number in range(count):
        partner = rows[drawn.partners[number]]
        expected = drawn.shares[number] * rows[number] + (1 - drawn.shares[number]) * partner
        assert tokens[number].mean() == pytest.approx(expected, abs=1e-4)
        if drawn.rectangles[number].any():
            kept = (tokens[number] == rows[number]).mean()
            assert kept == pytest.approx(drawn.shares[number])
            assert kept + (tokens[number] == partner).mean() == pytest.approx(1)


def _filled(rows: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rows).float()[:, None, None].expand(-1, GRID[0] * GRID[1], 2).clone()


def test_the_distribution_of_shares() -> None:
    """Beta(0.4, 0.4): mean 1/2, variance 1 / (4 (2 * 0.4 + 1))."""
    drawn = draw_mixing(MixOptions(mixup=0.4, mode="element"), 0, 0, 20_000, GRID)
    assert drawn is not None
    assert drawn.shares.mean() == pytest.approx(0.5, abs=0.01)
    assert drawn.shares.var() == pytest.approx(1 / 7.2, abs=0.004)


def test_switch_and_probability_are_frequencies() -> None:
    mix = MixOptions(mixup=1, cutmix=1, switch=0.3, probability=0.6, mode="element")
    drawn = draw_mixing(mix, 0, 0, 20_000, (100, 100))
    assert drawn is not None
    cut = drawn.rectangles.any(axis=1)
    # A rectangle without any cell is no cut: rare on so fine a grid.
    assert cut.mean() == pytest.approx(0.6 * 0.3, abs=0.015)
    assert ((drawn.shares < 1) & ~cut).mean() == pytest.approx(0.6 * 0.7, abs=0.015)


def test_pasted_rectangles_have_the_papers_sides_where_no_edge_cuts_them() -> None:
    drawn = draw_mixing(MixOptions(cutmix=1, mode="element"), 0, 0, 3000, (1000, 1000))
    assert drawn is not None
    top, left, bottom, right = drawn.rectangles.T
    inside = (top > 0) & (left > 0) & (bottom < 1000) & (right < 1000)
    assert inside.sum() > 400  # a sixth of 3000 is expected
    height, width = bottom - top, right - left
    assert abs(height - width)[inside].max() <= 1
    # Centres are even over the image.
    assert ((top + bottom) / 2)[inside].mean() == pytest.approx(500, abs=15)


def test_mixup_by_hand() -> None:
    """A share of 1/4: pixels are rounded to the nearest, tokens are not."""
    images = torch.tensor([[[[0, 100, 255]]], [[[200, 101, 0]]]], dtype=torch.uint8)
    mixed = mixed_inputs(pair(0.25), lambda rows: images[rows], np.array([0, 1]), np.array([0, 1]), (1, 1))
    assert mixed.dtype == torch.uint8
    assert mixed.tolist() == [[[[150, 101, 64]]], [[[200, 101, 0]]]]
    tokens = torch.tensor([[[1.0, 2.0]], [[3.0, 5.0]]])
    mixed = mixed_inputs(pair(0.25), lambda rows: tokens[rows], np.array([0, 1]), np.array([0, 1]), (1, 1))
    assert mixed.tolist() == [[[2.5, 4.25]], [[3.0, 5.0]]]


def test_cutmix_by_hand_on_tokens() -> None:
    tokens = torch.arange(12.0).reshape(2, 6, 1)
    mixing = pair(4 / 6, (0, 1, 2, 2))
    mixed = mixed_inputs(mixing, lambda rows: tokens[rows], np.array([0, 1]), np.array([0, 1]), (2, 3))
    assert mixed[0, :, 0].tolist() == [0, 7, 2, 3, 10, 5]
    assert mixed[1].tolist() == tokens[1].tolist()


def test_targets_by_hand() -> None:
    """The first image is red and dark, the second green without a tone."""
    soft, mask = mixed_targets(pair(0.25), *soft_targets(torch.tensor([[0, 0], [1, -1]]), SCHEMA, dtype=F64), SCHEMA)
    assert soft[0].tolist() == [0.25, 0.75, 0, 1, 0]
    assert mask[0].tolist() == [1, 0.25]
    assert soft[1].tolist() == [0, 1, 0, 0, 0]
    assert mask[1].tolist() == [1, 0]


targets = st.lists(st.tuples(st.integers(-1, 2), st.integers(-1, 1)), min_size=2, max_size=6)


@given(
    targets, options.filter(lambda mix: mix.used), steps, st.sampled_from(["cross_entropy", "focal"]), st.floats(0, 0.5)
)
@settings(max_examples=80, deadline=None)
def test_the_mixed_loss_is_the_mixture_of_losses(
    labels: list[tuple[int, int]], mix: MixOptions, step: int, name: str, smoothing: float
) -> None:
    """Each image counts its own label by its share and its partner's by the rest, and missing ones not at all."""
    mixing = draw_mixing(mix, 0, step, len(labels), GRID)
    assert mixing is not None
    hard = torch.tensor(labels)
    before = soft_targets(hard, SCHEMA, dtype=F64)
    soft, mask = mixed_targets(mixing, *before, SCHEMA)
    sums = torch.stack([soft[:, part].sum(dim=1) for part in SCHEMA.slices], dim=1)
    torch.testing.assert_close(sums, (mask > 0).to(F64))
    loss = AttributeLoss(
        LossOptions(name=name, label_smoothing=smoothing), SCHEMA, torch.tensor([5, 3, 1, 4, 2]), dtype=F64
    )
    logits = torch.randn(len(labels), SCHEMA.total, generator=torch.Generator().manual_seed(step % 1000), dtype=F64)
    ones = torch.ones(len(SCHEMA), dtype=F64)
    shares = torch.from_numpy(mixing.shares)[:, None]
    expected = torch.zeros(len(SCHEMA), dtype=F64)
    weight = torch.zeros(len(SCHEMA), dtype=F64)
    for share, order in ((shares, np.arange(len(labels))), (1 - shares, mixing.partners)):
        for row in range(len(labels)):
            one = before[0][order[row]][None], before[1][order[row]][None]
            expected += share[row] * loss(logits[row][None], *one, ones, 0).per_attribute
            weight += share[row] * loss.denominators(*one, 0)
    torch.testing.assert_close(loss.denominators(soft, mask, 0), weight)
    torch.testing.assert_close(loss(logits, soft, mask, ones, 0).per_attribute, expected)


def test_a_share_of_one_is_the_identity() -> None:
    hard = torch.tensor([[0, -1], [2, 1]])
    before = soft_targets(hard, SCHEMA)
    after = mixed_targets(pair(1.0), *before, SCHEMA)
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))
    tokens = torch.randn(2, 35, 3)
    mixed = mixed_inputs(pair(1.0), lambda rows: tokens[rows], np.array([0, 1]), np.array([0, 1]), GRID)
    assert torch.equal(mixed, tokens)


@given(options, steps, st.integers(1, 4), st.integers(2, 9))
@settings(max_examples=40, deadline=None)
def test_parts_of_a_batch_are_mixed_as_the_whole(mix: MixOptions, step: int, parts: int, count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    pool = torch.randint(0, 256, (30, *GRID, 3), generator=generator, dtype=torch.uint8)
    batch = np.random.default_rng(step).integers(0, 30, count)
    mixing = draw_mixing(mix, 1, step, count, GRID)
    whole = mixed_inputs(mixing, lambda rows: pool[rows], batch, np.arange(count), GRID)
    for positions in (np.arange(count)[rank::parts] for rank in range(min(parts, count))):
        part = mixed_inputs(mixing, lambda rows: pool[rows], batch, positions, GRID)
        assert torch.equal(part, whole[positions])


def test_each_row_is_loaded_once() -> None:
    loaded: list[int] = []

    def load(rows: np.ndarray) -> torch.Tensor:
        loaded.extend(rows.tolist())
        return torch.zeros(len(rows), 35, 1)

    mixing = draw_mixing(MixOptions(mixup=1), 0, 0, 6, GRID)
    mixed_inputs(mixing, load, np.array([4, 9, 2, 7, 1, 3]), np.arange(6), GRID)
    assert sorted(loaded) == [1, 2, 3, 4, 7, 9]


def test_what_is_drawn_never_changes() -> None:
    # Resuming an old run with a new version must see the same mixtures.
    drawn = draw_mixing(MixOptions(mixup=1, cutmix=1), 7, 11, 4, (8, 8))
    assert drawn is not None
    assert drawn.partners.tolist() == [1, 3, 0, 2]
    assert drawn.shares[0] == 0.625
