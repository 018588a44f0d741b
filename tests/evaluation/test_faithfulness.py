"""Curves of models whose answer is a sum over cells, for which all areas are known; and overlap with boxes."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from gingham.errors import UserError
from gingham.evaluation.faithfulness import (
    Faithfulness,
    Measured,
    centre_map,
    curve_area,
    in_box,
    removals,
    summarise,
)
from gingham.evaluation.tables import faithfulness_table

ALL = np.ones((6, 5), dtype=np.bool_)


def falling(parts: np.ndarray, order: np.ndarray, steps: int, seed: int = 0) -> np.ndarray:
    """What is left of a sum over cells as they are hidden in the order of a map."""
    masks = removals(order, np.ones(parts.shape, dtype=np.bool_), steps, seed)
    return np.array([parts.sum(), *(parts[~mask].sum() for mask in masks)])


def test_area_of_lines_and_steps() -> None:
    assert curve_area(np.array([1.0, 0.5, 0.0])) == pytest.approx(0.5)
    np.testing.assert_allclose(curve_area(np.array([[1.0, 1, 1, 1], [1, 0, 0, 0]])), [1, 1 / 6])


def test_heaviest_cells_go_first_and_all_at_last() -> None:
    weights = np.arange(30.0).reshape(6, 5)
    masks = removals(weights, ALL, 3)
    assert [int(mask.sum()) for mask in masks] == [10, 20, 30]
    assert (weights[masks[0]] >= 20).all()
    seen = weights < 12
    masks = removals(weights, seen, 4)
    assert [int(mask.sum()) for mask in masks] == [3, 6, 9, 12]
    assert not (masks[-1] & ~seen).any()


def test_equal_cells_come_in_random_order() -> None:
    even = np.zeros((20, 20))
    ours, theirs = (removals(even, even == 0, 2, seed)[0] for seed in (0, 1))
    assert 60 < (ours & theirs).sum() < 140
    np.testing.assert_array_equal(ours, removals(even, even == 0, 2, 0)[0])


def test_a_faithful_map_of_a_sum_has_the_area_that_follows_from_it() -> None:
    """Of parts 1..30 hidden from the greatest on: what is left after i of n is a triangular number."""
    parts = np.random.default_rng(0).permutation(np.arange(1.0, 31.0)).reshape(6, 5) / 465
    left = np.array([(30 - i) * (31 - i) / 2 for i in range(31)]) / 465
    best = curve_area(falling(parts, parts, 30))
    assert best == pytest.approx((left.sum() - left[0] / 2) / 30, abs=1e-12)
    # From the least on, it is the mirror image about the straight line.
    assert curve_area(falling(parts, -parts, 30)) == pytest.approx(1 - best, abs=1e-12)


def test_a_random_order_of_a_sum_has_half_the_area_on_average() -> None:
    generator = np.random.default_rng(0)
    parts = generator.dirichlet(np.ones(30)).reshape(6, 5)
    areas = [curve_area(falling(parts, generator.random((6, 5)), 6)) for _ in range(2000)]
    assert np.mean(areas) == pytest.approx(0.5, abs=4 * np.std(areas) / np.sqrt(2000))


def test_the_centre_map_is_a_normal_density() -> None:
    density = centre_map(40, 80)
    assert density.sum() == pytest.approx(1)
    np.testing.assert_allclose(density, density[::-1, ::-1])
    # One deviation (a quarter of the side) from the middle, along either side.
    rows = density[20 + 10] / density[20]
    np.testing.assert_allclose(rows, np.exp(-0.5 * ((10.5 / 40) ** 2 - (0.5 / 40) ** 2) / 0.25**2))


def test_weight_and_peak_in_the_box() -> None:
    inside = np.zeros((4, 4))
    inside[:2, :2], inside[2, :2] = 1, 0.5
    maps = np.zeros((5, 4, 4))
    maps[0] = 1 / 16
    maps[1, 0, 0], maps[1, 3, 3] = 3, 1
    maps[2, 0, 0], maps[2, 3, 3] = 1, 3
    maps[3, 2, 0], maps[3, 0, 3] = 2, -9
    share, hit = in_box(maps, inside)
    np.testing.assert_allclose(share, [5 / 16, 0.75, 0.25, 0.5, np.nan])
    np.testing.assert_allclose(hit, [5 / 16, 1, 0, 0.5, 5 / 16])


def measured(generator: np.random.Generator, shift: float, images: int = 50, boxes: bool = True) -> Measured:
    values = [np.clip(generator.normal(0.4 + shift, 0.05, (images, 2)), 0, 1) for _ in range(4)]
    return Measured(*(values if boxes else [*values[:2], *[np.full((images, 2), np.nan)] * 2]))


def test_means_and_paired_differences() -> None:
    generator = np.random.default_rng(0)
    ours, chance = measured(generator, -0.1), measured(generator, 0.0)
    found = Faithfulness(("a", "b"), {"attention": ours, "random": chance}, np.full(50, 0.3))
    summary = summarise(found, bootstrap=500)
    assert (summary.images, summary.boxes) == (50, 50)
    assert summary.box_area == pytest.approx(0.3)
    mean, interval = summary.means["attention"]["deletion"]
    assert mean == pytest.approx(ours.deletion.mean())
    assert interval is not None
    assert interval[0] < mean < interval[1]
    assert list(summary.against) == ["attention"]
    gain = summary.against["attention"]["random"]["deletion"]
    per_photo = (ours.deletion - chance.deletion).mean(axis=1)
    assert gain.difference == pytest.approx(per_photo.mean())
    # The bootstrap of a mean comes near its standard error.
    assert gain.ci95 is not None
    assert gain.ci95[1] - gain.ci95[0] == pytest.approx(2 * 1.96 * per_photo.std() / np.sqrt(50), rel=0.2)
    assert summary.per_attribute["random"]["insertion"]["b"] == pytest.approx(chance.insertion[:, 1].mean())
    json.dumps(summary.to_json(), allow_nan=False)


def test_without_boxes_there_is_no_overlap() -> None:
    generator = np.random.default_rng(0)
    found = Faithfulness(("a", "b"), {"attention": measured(generator, 0, boxes=False)}, np.full(50, np.nan))
    summary = summarise(found, bootstrap=0)
    assert (summary.boxes, summary.box_area) == (0, None)
    assert summary.means["attention"]["in_box"] is None
    assert summary.per_attribute["attention"]["pointing"] == {"a": None, "b": None}
    assert summary.means["attention"]["deletion"][1] is None
    json.dumps(summary.to_json(), allow_nan=False)
    text = rendered(summary)
    assert "box" not in text


def test_photos_without_a_box_are_left_out_of_the_overlap() -> None:
    generator = np.random.default_rng(0)
    ours, chance = measured(generator, 0), measured(generator, 0)
    for one in (ours, chance):
        one.in_box[:20] = one.pointing[:20] = np.nan
    area = np.where(np.arange(50) < 20, np.nan, 0.2)
    summary = summarise(Faithfulness(("a", "b"), {"attention": ours, "random": chance}, area), bootstrap=50)
    assert summary.boxes == 30
    assert summary.means["attention"]["in_box"][0] == pytest.approx(ours.in_box[20:].mean())
    gain = summary.against["attention"]["random"]["in_box"].difference
    assert gain == pytest.approx((ours.in_box - chance.in_box)[20:].mean())


def test_a_negative_number_of_resamples_is_refused() -> None:
    found = Faithfulness(("a", "b"), {"random": measured(np.random.default_rng(0), 0)}, np.full(50, 0.3))
    with pytest.raises(UserError, match="-1 resamples asked for"):
        summarise(found, bootstrap=-1)


def rendered(summary: object) -> str:
    stream = io.StringIO()
    Console(file=stream, width=80).print(faithfulness_table(summary))
    return stream.getvalue()


def test_the_table_fits_80_columns() -> None:
    generator = np.random.default_rng(0)
    kinds = ("attention", "last", "rollout", "occlusion", "centre", "random")
    maps = {kind: measured(generator, -0.01 * number) for number, kind in enumerate(kinds)}
    text = rendered(summarise(Faithfulness(("a", "b"), maps, np.full(50, 0.3)), bootstrap=50))
    assert "…" not in text
    assert all(f" {kind} - random " in text for kind in kinds[:4])
    assert "50 images with a box, which covers 30.0% on average" in text
