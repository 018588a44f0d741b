"""Evaluation views: what is looked at of one image where predictions of several views are averaged."""

from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from gingham.data.preprocess import Extent, Picture, Preprocess, Region, region_of, resized, shown
from gingham.errors import RecipeError
from gingham.options import Options

__all__ = [
    "TestTime",
    "Window",
    "check_test_time",
    "evaluation_regions",
    "evaluation_views",
    "evaluation_windows",
    "finest_pitch",
]


class Window(NamedTuple):
    """Where a view lies in its photo, in pixels of the photo.

    Attributes:
        edges: of the view; where white was added, they are where it would end if the photo went on.
        photo: the part of the photo that the view shows: all within the edges, but for the white.
        mirrored: the view's first column is at the right edge.
    """

    edges: Region
    photo: Region
    mirrored: bool = False


class TestTime(Options):
    """The block `test_time:`: views of each image whose probabilities are averaged, at evaluation and prediction.

    Each region is seen at each scale, and each of these views mirrored too if `flip` says so. The defaults are one
    view, that of `Preprocess.apply`.

    Attributes:
        flip: every view is also seen mirrored, left and right.
        scales: zoom of the region about its middle. 1.2 shows the garment larger and cuts the edges off; below 1, for
            `preprocess.region=box` only, shows more around the box, as far as the image goes.
        whole_image: with `preprocess.region=box`, the whole image is seen beside the box.
    """

    flip: bool = False
    scales: tuple[Annotated[float, Field(ge=0.25, le=4)], ...] = Field(default=(1.0,), min_length=1, max_length=8)
    whole_image: bool = False

    @field_validator("scales")
    @classmethod
    def _different(cls, scales: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(scales)) != len(scales):
            raise ValueError("name each scale once")
        return scales

    @property
    def most_views(self) -> int:
        """How many views an image has at most; fewer where some show the same."""
        # Around the whole image there is nothing more.
        of_whole_image = len({max(scale, 1.0) for scale in self.scales}) * self.whole_image
        return (len(self.scales) + of_whole_image) * (1 + self.flip)

    def summary(self, preprocess: Preprocess) -> str:
        """In words, as in `4 views: box and whole image, plain and mirrored`."""
        regions = "whole image" if preprocess.region == "image" else "box and whole image" * self.whole_image or "box"
        scales = "" if self.scales == (1.0,) else f", zoomed {', '.join(f'{scale:g}' for scale in self.scales)} times"
        count = "1 view" if self.most_views == 1 else f"{self.most_views} views"
        return f"{count}: {regions}{scales}" + ", plain and mirrored" * self.flip


def check_test_time(test_time: TestTime, preprocess: Preprocess) -> None:
    """Refuse views that need the garment's box where only whole images are looked at.

    Raises:
        RecipeError: names the field and the way out.
    """
    if preprocess.region == "box":
        return
    if test_time.whole_image:
        raise RecipeError(
            "test_time.whole_image: with preprocess.region=image the whole image is all that is seen; set "
            "preprocess.region=box to average it with the garment's box, or test_time.whole_image=false"
        )
    if min(test_time.scales) < 1:
        raise RecipeError(
            f"test_time.scales: {min(test_time.scales):g} would show more around the region, and around the whole "
            "image there is nothing; set preprocess.region=box, or only scales of 1 and more"
        )


def evaluation_views(
    image: Picture, box: npt.NDArray[np.float32] | None, preprocess: Preprocess, test_time: TestTime
) -> list[npt.NDArray[np.uint8]]:
    """The views of one image, each as `Preprocess.apply` would make it of its region.

    The order is: the region of `preprocess` (the box), then the whole image; within each the scales as they are named;
    after each view its mirror image. Views of the same region are made once, so that an image without a box, whose box
    views show the whole of it, does not count twice what others count once.

    Args:
        image: upright RGB.
        box: see `Preprocess.apply`.
        preprocess: from the image to the network's input.
        test_time: which views.

    Returns:
        1 to `most_views` arrays, uint8 `[size, size, 3]`. With scale 1 in the first place, the first of them has the
        bits of `Preprocess.apply`.

    Raises:
        DataError: the box does not overlap the image, or is malformed.
    """
    views = []
    for region in evaluation_regions(image, box, preprocess, test_time):
        view = np.array(resized(image, region, preprocess, preprocess.size))
        views += [view, np.ascontiguousarray(view[:, ::-1])] if test_time.flip else [view]
    return views


def evaluation_regions(
    image: Extent, box: npt.NDArray[np.float32] | None, preprocess: Preprocess, test_time: TestTime
) -> list[Region]:
    """The parts of one image that `evaluation_views` shows, each plain and maybe mirrored. Raises as it does."""
    regions = [region_of(image, box, preprocess)]
    if test_time.whole_image:
        regions.append(region_of(image, None, preprocess))
    return list(dict.fromkeys(_zoomed(image, region, scale) for region in regions for scale in test_time.scales))


def finest_pitch(
    image: Extent, box: npt.NDArray[np.float32] | None, preprocess: Preprocess, test_time: TestTime
) -> float:
    """How many pixels of the image, across or down, become one of the view that shows it most finely.

    Raises as `evaluation_views`.
    """
    edges = [
        shown(image, region, preprocess, preprocess.size)
        for region in evaluation_regions(image, box, preprocess, test_time)
    ]
    sides = [side for left, top, right, bottom in edges for side in (right - left, bottom - top)]
    return min(sides) / preprocess.size


def evaluation_windows(
    image: Extent, box: npt.NDArray[np.float32] | None, preprocess: Preprocess, test_time: TestTime
) -> list[Window]:
    """Where each of the `evaluation_views` lies in the photo, in their order. Raises as `evaluation_views`."""
    windows = []
    for region in evaluation_regions(image, box, preprocess, test_time):
        edges = shown(image, region, preprocess, preprocess.size)
        photo = region if preprocess.resize == "pad" else edges
        windows += [Window(edges, photo, mirrored) for mirrored in ((False, True) if test_time.flip else (False,))]
    return windows


def _zoomed(image: Extent, region: Region, scale: float) -> Region:
    """The part of a region that is seen at `scale`, about its middle; never more than the image."""
    left, top, right, bottom = region
    # On each side; 0 at scale 1, so that nothing is rounded there.
    across, down = (right - left) * (1 - 1 / scale) / 2, (bottom - top) * (1 - 1 / scale) / 2
    return (
        max(left + across, 0.0),
        max(top + down, 0.0),
        min(right - across, float(image.width)),
        min(bottom - down, float(image.height)),
    )
