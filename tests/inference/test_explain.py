"""Maps in the photo's frame, of networks whose answer is known: they look at darkness, and at nothing else."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gingham.data.preprocess import Preprocess
from gingham.data.test_time import TestTime
from gingham.errors import ImageError, UserError
from gingham.evaluation.faithfulness import curve_area
from gingham.inference.explain import log_odds
from gingham.inference.fidelity import measure_faithfulness
from gingham.inference.load import Item
from gingham.inference.tagger import MissingBoxWarning, Tagger, Voter
from gingham.models.backbone import Backbone
from gingham.models.heads import LinearHead
from gingham.models.network import Network
from gingham.models.options import LinearOptions
from gingham.schema import AttributeSchema
from tests import tiny

DARK = AttributeSchema.of({"dark": ["yes", "no"], "light": ["no", "yes"]})
SIZE, TOKENS = 64, 8
STEEP = 40.0


class Brightness(nn.Module):
    """One token for each 8 x 8 pixels: their mean brightness less that of white."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(images.mean(dim=1, keepdim=True) * self.weight, SIZE // TOKENS)


def darkness(options: dict[str, object] | None = None, **test_time: object) -> Voter:
    """Log-odds of `dark` = yes: STEEP x (mean darkness - 0.01), so that they are linear in the pixels."""
    preprocess = Preprocess.parse({"size": SIZE, "interpolation": "bilinear", **(options or {})})
    head = LinearHead(DARK, 1, LinearOptions())
    with torch.no_grad():
        head.classifier.weight[:, 0] = torch.tensor([-STEEP, 0, -STEEP, 0])
        head.classifier.bias[:] = torch.tensor([-0.01 * STEEP, 0, 0, 0])
    network = Network(Backbone(Brightness(), SIZE), head, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)).eval()
    return tiny.voter(network, preprocess, TestTime.parse(test_time))


def tagger_of(*voters: Voter) -> Tagger:
    return Tagger(voters, DARK)


def photo_of(width: int, height: int, *square: int) -> Image.Image:
    left, top, right, bottom = square
    pixels = np.full((height, width, 3), 255, dtype=np.uint8)
    pixels[top:bottom, left:right] = 0
    return Image.fromarray(pixels)


def centre_of(weights: np.ndarray, width: int, height: int) -> tuple[float, float]:
    """The centre of mass, in pixels of the photo."""
    rows, columns = weights.shape
    x, y = (np.arange(columns) + 0.5) * width / columns, (np.arange(rows) + 0.5) * height / rows
    return float(weights.sum(axis=0) @ x / weights.sum()), float(weights.sum(axis=1) @ y / weights.sum())


CASES: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "squash": ({"resize": "squash"}, {}),
    "letterbox": ({"resize": "pad"}, {}),
    "crop": ({"resize": "shortest"}, {}),
    "mirrored too": ({"resize": "squash"}, {"flip": True}),
    "zoomed": ({"resize": "squash"}, {"scales": (1.0, 1.25), "flip": True}),
    "box": ({"resize": "squash", "region": "box", "box_margin": 0.25}, {"flip": True}),
    "letterboxed box": ({"resize": "pad", "region": "box", "box_margin": 0.25}, {}),
    "box and whole image": ({"resize": "squash", "region": "box"}, {"whole_image": True, "flip": True}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [(192, 128), (128, 224)])
def test_the_map_lies_where_the_network_looks(case: str, size: tuple[int, int]) -> None:
    """A dark square left and above of the middle: the mass is on it, to a token's width, and the centres agree."""
    width, height = size
    square = (width // 2 - 40, height // 2 - 40, width // 2 - 8, height // 2 - 8)
    box = (width // 2 - 56, height // 2 - 56, width // 2 + 40, height // 2 + 40)
    options, views = CASES[case]
    found = tagger_of(darkness(options, **views)).explain(photo_of(width, height, *square), box=box)
    assert found.labels == ("yes", "no")
    token = max(size) / TOKENS
    for k in range(2):
        weights = found.attention[k].astype(np.float64)
        assert weights.sum() == pytest.approx(1, abs=1e-5)
        x, y = centre_of(weights, width, height)
        assert x == pytest.approx(width // 2 - 24, abs=0.12 * token)
        assert y == pytest.approx(height // 2 - 24, abs=0.12 * token)
        rows, columns = weights.shape
        across, down = (np.arange(columns) + 0.5) * width / columns, (np.arange(rows) + 0.5) * height / rows
        near = (np.abs(down - y) < 16 + token)[:, None] & (np.abs(across - x) < 16 + token)
        assert weights[near].sum() > 0.99
        # Hiding the square costs most there too.
        assert found.occlusion is not None
        x, y = centre_of(np.clip(found.occlusion[k] - 0.3 * found.occlusion[k].max(), 0, None), width, height)
        assert (x, y) == pytest.approx((width // 2 - 24, height // 2 - 24), abs=0.5 * token)
    # Of a token at the edge, bilinear interpolation puts a bit on the white beside it.
    np.testing.assert_allclose(found.beyond, 0, atol=0.005)


def test_weight_on_the_white_of_a_letterbox_is_told() -> None:
    """Here white is what speaks: for `dark` = no."""
    voter = darkness({"resize": "pad"})
    with torch.no_grad():
        voter.runtime.network.head.classifier.weight.neg_()
        voter.runtime.network.head.classifier.bias.zero_()
    # Tokens are at most zero, so that white is level with the average of the classes and nothing speaks for any.
    found = tagger_of(voter).explain(photo_of(64, 128, 0, 0, 0, 0), occlusion=False)
    np.testing.assert_allclose(found.beyond, 0.5, atol=1e-6)
    np.testing.assert_allclose(found.attention.sum(axis=(1, 2)), 1, atol=1e-5)


def test_occlusion_of_a_linear_network_is_what_follows_from_its_weights() -> None:
    """The fall of the log-odds is STEEP x the darkness that a patch loses, averaged with tents over the patches."""
    generator = np.random.default_rng(0)
    pixels = np.repeat(generator.integers(0, 256, (SIZE, SIZE, 1), dtype=np.uint8), 3, axis=2)
    found = tagger_of(darkness()).explain(Image.fromarray(pixels))
    dark = 1 - pixels[..., 0] / 255
    colour = round(pixels[..., 0].mean())
    gain = np.zeros((60, 60))
    total = np.zeros((60, 60))
    tent = np.minimum(np.arange(12) + 0.5, 11.5 - np.arange(12))
    for top in range(0, 49, 6):
        for left in range(0, 49, 6):
            edges = (np.arange(SIZE + 1)) * 60 / SIZE
            rows = np.clip(np.minimum(edges[1:], top + 12) - np.maximum(edges[:-1], top), 0, None) * SIZE / 60
            columns = np.clip(np.minimum(edges[1:], left + 12) - np.maximum(edges[:-1], left), 0, None) * SIZE / 60
            fall = STEEP * (np.outer(rows, columns) * (dark - (1 - colour / 255))).mean()
            gain[top : top + 12, left : left + 12] += fall * np.outer(tent, tent)
            total[top : top + 12, left : left + 12] += np.outer(tent, tent)
    sign = 1 if found.labels[0] == "yes" else -1
    assert found.occlusion is not None
    assert found.occlusion.shape == (2, 60, 60)
    # Pixels at a patch's edge are rounded to whole levels.
    np.testing.assert_allclose(found.occlusion[0], sign * gain / total, atol=STEEP * 0.5 / 255 * 0.05)


def test_views_and_networks_count_as_their_probabilities_do(photos: list[Path]) -> None:
    """The map of several is the mean of their maps; a mirrored view's is mirrored back."""
    look = tiny.preprocess()
    plain = [tiny.voter(tiny.network(seed=seed), look) for seed in (0, 1)]
    maps = [Tagger([voter], tiny.SCHEMA).explain(photos[0], occlusion=False) for voter in plain]
    both = Tagger(plain, tiny.SCHEMA).explain(photos[0], occlusion=False)
    np.testing.assert_allclose(both.attention, (maps[0].attention + maps[1].attention) / 2, atol=1e-7)

    flipped = Tagger([tiny.voter(tiny.network(), look, TestTime(flip=True))], tiny.SCHEMA)
    image = Image.open(photos[0]).convert("RGB")
    mirror = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    once = Tagger(plain[:1], tiny.SCHEMA)
    one, other = (once.explain(each, occlusion=False).attention for each in (image, mirror))
    expected = (one + other[:, :, ::-1]) / 2
    np.testing.assert_allclose(flipped.explain(image, occlusion=False).attention, expected, atol=2e-6)


def test_an_explanation_is_of_the_tags_that_are_given(tagger: Tagger, photos: list[Path]) -> None:
    before = photos[1].read_bytes()
    found = tagger.explain(Item("a name", photos[1]))
    assert found.id == "a name"
    assert found.attributes == tagger.schema.names
    tags = tagger(photos[1])
    assert found.labels == tuple(tag.label for tag in tags.values())
    np.testing.assert_allclose(found.confidence, [tag.confidence for tag in tags.values()], atol=1e-6)
    with Image.open(photos[1]) as image:
        np.testing.assert_array_equal(found.picture, np.asarray(image.convert("RGB")))
    rows, columns = found.attention.shape[1:]
    assert max(rows, columns) == 60
    assert found.occlusion is not None
    assert found.occlusion.shape == found.attention.shape == (len(tagger.schema), rows, columns)
    assert np.isfinite(found.occlusion).all()
    assert (found.attention >= 0).all()
    part = found.of(("fit", "pattern"))
    assert part.attributes == ("fit", "pattern")
    np.testing.assert_array_equal(part.attention[1], found.attention[0])
    assert tagger.explain(photos[1], occlusion=False).occlusion is None
    assert photos[1].read_bytes() == before


def test_a_large_photo_is_shown_small() -> None:
    found = tagger_of(darkness()).explain(photo_of(2000, 500, 0, 0, 100, 100), occlusion=False)
    assert found.picture.shape == (160, 640, 3)
    assert found.attention.shape == (2, 15, 60)


def test_what_cannot_be_explained_says_so(tagger: Tagger, box_tagger: Tagger, photos: list[Path]) -> None:
    with pytest.raises(ImageError, match="no such file"):
        tagger.explain("nowhere.jpg")
    with pytest.raises(ImageError, match="no area inside the image") as bad:
        box_tagger.explain(photos[0], box=(5000, 0, 5001, 9))
    assert bad.value.reason == "bad_box"
    with pytest.raises(UserError, match="expected four numbers"):
        tagger.explain(photos[0], box=(1, 2))
    with pytest.warns(MissingBoxWarning):
        box_tagger.explain(photos[0], occlusion=False)


def test_log_odds_are_those_of_the_probability() -> None:
    logits = np.random.default_rng(0).normal(size=(5, tiny.SCHEMA.total)).astype(np.float32) * 3
    classes = np.array([0, 1, 2, 3, 0, 1])[: len(tiny.SCHEMA)]
    odds = log_odds(logits, tiny.SCHEMA, classes)
    for k, part in enumerate(tiny.SCHEMA.slices):
        raised = np.exp(logits[:, part].astype(np.float64))
        p = raised[:, classes[k]] / raised.sum(axis=1)
        np.testing.assert_allclose(odds[:, k], np.log(p / (1 - p)), rtol=1e-9)
    # Where the probability rounds to 1, too.
    sure = np.zeros((1, tiny.SCHEMA.total), dtype=np.float32)
    sure[0, tiny.SCHEMA.slices[0].start] = 500
    assert log_odds(sure, tiny.SCHEMA, np.zeros(len(tiny.SCHEMA), dtype=np.int64))[0, 0] == pytest.approx(500, abs=5)


def test_faithfulness_of_a_linear_network_follows_from_its_weights() -> None:
    """A photo with a dark half on top: hidden first by a faithful map, and the rest changes nothing but the colour."""
    pixels = np.full((SIZE, SIZE, 3), 255, dtype=np.uint8)
    pixels[:32] = 0
    item = Item("stripe", Image.fromarray(pixels), np.array([0, 0, SIZE, 40], np.float32))
    steps = 8
    kinds = ("attention", "random")
    found = measure_faithfulness(tagger_of(darkness()), [item], kinds=kinds, steps=steps)
    dark, colour = 1 / 2, 128 / 255
    # Rows go from the top on, as they weigh the more the further up (the edge of the dark part is smoothed).
    shares = np.arange(steps + 1) / steps
    left = np.maximum(dark - shares, 0) + shares * (1 - colour)
    sure = 1 / (1 + np.exp(-STEEP * (left - 0.01)))
    measured = found.maps["attention"]
    assert measured.deletion[0, 0] == pytest.approx(curve_area(sure), abs=2e-3)
    # Whatever its order, hiding goes from one end to the other; the random map's area is between the extremes.
    rising = 1 / (1 + np.exp(-STEEP * (np.linspace(dark, 1 - colour, steps + 1) - 0.01)))
    assert found.maps["random"].deletion[0, 0] == pytest.approx(curve_area(rising), abs=0.05)
    assert found.box_area[0] == pytest.approx(0.625)
    assert measured.in_box[0, 0] > 0.99
    assert measured.pointing[0].tolist() == [1, 1]
    assert found.maps["random"].in_box[0, 0] == pytest.approx(0.625, abs=0.15)


def test_photos_without_boxes_are_measured_too() -> None:
    items = [Item(str(n), photo_of(80, 60, 8, 8, 30, 30), None) for n in range(2)]
    kinds = ("attention", "occlusion", "centre", "random", "last", "rollout")
    found = measure_faithfulness(tagger_of(darkness(flip=True)), items, kinds=kinds, steps=3)
    assert set(found.maps) == set(kinds)
    assert np.isnan(found.box_area).all()
    for measured in found.maps.values():
        assert measured.deletion.shape == measured.insertion.shape == (2, 2)
        assert ((measured.deletion >= 0) & (measured.deletion <= 1)).all()
        assert np.isnan(measured.in_box).all()
    # The same photo twice, with other random maps.
    np.testing.assert_allclose(*found.maps["attention"].deletion, atol=0.05)
