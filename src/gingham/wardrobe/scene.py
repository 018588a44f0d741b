"""What is around the garment: the room, the mannequin that wears it, and the camera."""

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from gingham.wardrobe.geometry import Field, Frame, Points, draw_line, draw_shape, limb, points, smooth, upsampled
from gingham.wardrobe.silhouette import arm

__all__ = ["Canvas", "backdrop", "dress_form", "paint", "photograph", "smooth_edged", "soft"]

_ARM_FREE = 0.03  # how far from the shoulder down a bare arm hangs before the garment

Canvas = npt.NDArray[np.float32]
"""A picture, [3, H, W], between 0 and 1: colours first, because whole planes are what numpy is fast at."""


def paint(canvas: Canvas, colour: Sequence[Field | float] | Canvas, cover: Field) -> None:
    """Lay a colour [3] or a picture [3, H, W] over a canvas, in place, as opaque as `cover` [H, W] says."""
    for plane, value in zip(canvas, colour, strict=True):
        plane += (value - plane) * cover


def soft(mask: Image.Image, radius: float) -> Field:
    """A mask blurred by `radius` pixels, as numbers between 0 and 1."""
    # A blur is smooth by nature: computed at a quarter of the size it looks the same and costs little.
    small = mask.reduce(4).filter(ImageFilter.GaussianBlur(radius / 4))
    return np.asarray(small.resize(mask.size, Image.Resampling.BILINEAR), dtype=np.float32) * np.float32(1 / 255)


def smooth_edged(mask: Image.Image) -> Image.Image:
    """A mask without the stairs that polygons have at their edges."""
    return mask.filter(ImageFilter.BoxBlur(0.7))


def backdrop(frame: Frame) -> Canvas:
    """The room behind the figure, [pixels, pixels, 3]: paper, wall and floor, panels, curtain, bokeh or plaster."""
    style = frame.style
    size = 75  # out of focus: nothing fine in it
    rng = style.stream("backdrop")
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    first, second = style.walls
    tilt = rng.uniform(-0.4, 0.4)
    match style.backdrop:
        case 0:
            share = np.clip(y + tilt * (x - 0.5), 0, 1)
        case 1:
            share = np.clip((y - rng.uniform(0.72, 0.88) - 0.1 * tilt * x) * 30, 0, 1)
        case 2:
            share = np.clip(np.abs((x * rng.uniform(2, 4) + tilt) % 1 - 0.5) * 12 - 0.5, 0, 1)
        case 3:
            share = 0.5 + 0.35 * np.sin(x * rng.uniform(18, 40) + 2 * np.sin(3 * y + 9 * tilt))
        case 4:
            share = np.zeros_like(x)
            for cx, cy, radius in rng.uniform((0, 0, 0.05), (1, 1, 0.16), (9, 3)):
                share = np.maximum(share, np.clip((radius - np.hypot(x - cx, y - cy)) * 30, 0, 0.75))
        case _:
            share = np.clip(0.5 + 0.3 * upsampled(rng.standard_normal((6, 6)), size, size), 0, 1)
    fall = 1.0 + 0.12 * style.light * (x - 0.5) - 0.10 * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
    planes = [(one + (other - one) * share) * fall for one, other in zip(first, second, strict=True)]
    wall = Image.fromarray(np.clip(255.0 * np.stack(planes, axis=-1) + 0.5, 0, 255).astype(np.uint8))
    large = wall.resize((frame.pixels, frame.pixels), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(large).transpose(2, 0, 1), dtype=np.float32) * np.float32(1 / 255)


def _arm_outlines(frame: Frame, side: int, covered: float) -> tuple[Points, Points, Points]:
    """The arm below the shoulder's ball, the part of it that hangs before the garment, and the hand."""
    shoulder, elbow, wrist = arm(frame.style, side)
    path = smooth(np.stack([shoulder, elbow, wrist]), 8)
    widths = np.interp(np.arange(len(path)), [0, 8, 12, 16], [0.035, 0.028, 0.027, 0.019])
    along = (wrist - elbow) / np.linalg.norm(wrist - elbow)
    palm = np.stack([wrist - 0.006 * along, wrist + 0.02 * along, wrist + 0.045 * along, wrist + 0.062 * along])
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    free = lengths > max(covered - 0.02, _ARM_FREE)
    free[-2:] = True  # an outline needs two points; under a long sleeve nobody sees them
    return (
        limb(path, widths.tolist()),
        limb(path[free], widths[free].tolist()),
        limb(palm, [0.018, 0.023, 0.018, 0.006]),
    )


def _ball(centre: Points, radius: float) -> Points:
    angle = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
    return centre + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _legs(build: float, wider: float, top: float, bottom: float) -> list[Points]:
    path = smooth(points((0.072, top), (0.078, 0.60), (0.074, 0.735), (0.072, 0.82), (0.072, bottom)), 6)
    widths = np.interp(path[:, 1], [0.45, 0.53, 0.735, 0.80, 0.93], [0.068, 0.068, 0.043, 0.040, 0.025]) + wider
    right = limb(path * np.array([build, 1.0]), widths.tolist())
    return [right, right * np.array([-1.0, 1.0])]


def _paint_round(frame: Frame, canvas: Canvas, mask: Image.Image, colour: Sequence[float]) -> None:
    """Paint something round: darker towards its edges, and on the side away from the light."""
    blurred = soft(mask, 0.024 * frame.unit)
    mask = smooth_edged(mask)
    x1, y1, x2, y2 = mask.getbbox() or (0, 0, frame.pixels, frame.pixels)
    inside = blurred[y1:y2, x1:x2]
    beside = np.roll(blurred, round(0.012 * frame.unit), axis=1)[y1:y2, x1:x2]
    light = np.clip(0.46 + 0.62 * inside + np.float32(0.9 * frame.style.light) * (inside - beside), 0.3, 1.25)
    cover = np.asarray(mask, dtype=np.float32)[y1:y2, x1:x2] * np.float32(1 / 255)
    paint(canvas[:, y1:y2, x1:x2], [light * np.float32(channel) for channel in colour], cover)


def dress_form(frame: Frame, canvas: Canvas, trousers: bool, covered: float) -> Image.Image:
    """Paint the mannequin and its shadow on a canvas, in place, with or without plain trousers.

    Returns the mask of the bare arms, which hang before the garment; sleeves cover them as far as `covered`.
    """
    style = frame.style
    figure, front = frame.canvas(), frame.canvas()
    wide = np.array([style.build, 1.0])
    half = smooth(
        points(
            (0.038, 0.030), (0.040, 0.075), (0.052, 0.105), (0.105, 0.130), (0.150, 0.143), (0.166, 0.178),
            (0.134, 0.245), (0.126, 0.300), (0.098, 0.375), (0.122, 0.440), (0.141, 0.500), (0.136, 0.56),
        )
    ) * wide  # fmt: skip
    draw_shape(figure, frame, np.concatenate([half, half[::-1] * np.array([-1.0, 1.0])]))
    for leg in _legs(style.build, 0.0, 0.50, 0.94):
        draw_shape(figure, frame, leg)
    for side in (-1, 1):
        foot = points((0.050, 0.925), (0.094, 0.925), (0.112, 0.972), (0.098, 0.988), (0.060, 0.985))
        draw_shape(figure, frame, foot * wide * np.array([side, 1.0]))
        draw_shape(figure, frame, _ball(arm(style, side)[0] + np.array([0.0, 0.003]), 0.0345))
        whole, bare, hand = _arm_outlines(frame, side, covered)
        for part in (whole, hand):
            draw_shape(figure, frame, part)
        for part in (bare, hand):
            draw_shape(front, frame, part)
    _cast_on_room(frame, canvas, figure)
    _paint_round(frame, canvas, figure, style.skin)
    cap = frame.canvas()
    draw_shape(cap, frame, limb(points((-0.038, 0.030), (0.0, 0.030), (0.038, 0.030)), [0.003, 0.010, 0.003]))
    paint(canvas, [0.62 * channel for channel in style.skin], np.asarray(cap, dtype=np.float32) * np.float32(1 / 255))
    if trousers:
        _trousers(frame, canvas)
    return smooth_edged(front)


def _cast_on_room(frame: Frame, canvas: Canvas, figure: Image.Image) -> None:
    ground = frame.canvas()
    draw_shape(ground, frame, limb(points((-0.15, 0.975), (0.0, 0.975), (0.15, 0.975)), [0.012, 0.02, 0.012]))
    cast = np.roll(soft(figure, 0.02 * frame.unit), round(-0.02 * frame.style.light * frame.unit), axis=1)
    canvas *= 1.0 - np.float32(0.22) * np.maximum(cast, soft(ground, 0.012 * frame.unit) * np.float32(1.5))


def _trousers(frame: Frame, canvas: Canvas) -> None:
    style = frame.style
    mask = frame.canvas()
    hips = smooth(points((0.108, 0.40), (0.130, 0.45), (0.150, 0.50), (0.150, 0.56)), 6)
    hips = hips * np.array([style.build, 1.0])
    draw_shape(mask, frame, np.concatenate([hips, hips[::-1] * np.array([-1.0, 1.0])]))
    legs = _legs(style.build, 0.010, 0.50, 0.925)
    for leg in legs:
        draw_shape(mask, frame, leg)
    _paint_round(frame, canvas, mask, style.trousers)
    creases = frame.canvas()
    for leg in legs:
        draw_line(creases, frame, (leg[: len(leg) // 2] + leg[: len(leg) // 2 - 1 : -1]) / 2, 0.005)
    draw_line(creases, frame, points((0.0, 0.50), (0.0, 0.57)), 0.006)
    x1, y1, x2, y2 = mask.getbbox() or (0, 0, frame.pixels, frame.pixels)
    cover = np.asarray(creases.crop((x1, y1, x2, y2)), dtype=np.float32) * np.float32(0.35 / 255)
    paint(canvas[:, y1:y2, x1:x2], [0.7 * channel for channel in style.trousers], cover)


def photograph(frame: Frame, canvas: Canvas, size: int) -> Image.Image:
    """Take the picture [3, pixels, pixels]: exposure, warmth, reduction to `size`, grain, JPEG artefacts."""
    style = frame.style
    cast = (1 + style.warmth, 1.0, 1 - style.warmth)
    planes = [
        Image.fromarray(np.clip(plane * np.float32(255.0 * style.exposure * gain), 0, 255).astype(np.uint8))
        for plane, gain in zip(canvas, cast, strict=True)
    ]
    small = np.asarray(Image.merge("RGB", planes).resize((size, size), Image.Resampling.HAMMING), dtype=np.float32)
    noise = style.stream("grain").standard_normal((size, size, 1), dtype=np.float32)
    noisy = small + noise * np.float32(style.grain * 255.0) + np.float32(0.5)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=round(style.quality))
    with Image.open(io.BytesIO(buffer.getvalue())) as compressed:
        return compressed.convert("RGB")
