"""The public `Tagger`: images in, tags or predictions out."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from gingham.data.decode import decode, decode_bytes
from gingham.data.pixels import upright_rgb
from gingham.data.prefetch import prefetch
from gingham.data.preprocess import Preprocess
from gingham.data.table import LabelTable
from gingham.errors import BundleError, DataError, ImageError, UserError
from gingham.inference.bundle import Bundle, open_bundle
from gingham.inference.repository import cached_bundle
from gingham.models.network import Network
from gingham.predictions import Predictions, softmax
from gingham.progress import Reporter
from gingham.schema import AttributeSchema

__all__ = ["Facts", "Item", "MissingBoxWarning", "Outcome", "Tag", "Tagger", "choose_device"]

Source = str | Path | bytes | Image.Image


class MissingBoxWarning(UserWarning):
    """A model trained on garment boxes got an image without one and used the whole image."""


class Tag(NamedTuple):
    """The chosen class of one attribute and its probability."""

    label: str
    confidence: float


class Facts(NamedTuple):
    """Of an image, beside its logits: size in pixels, mean brightness in 0..1, the box's share of the area (or NaN)."""

    width: int
    height: int
    brightness: float
    box_share: float


@dataclass(frozen=True)
class Item:
    """One image to tag: a name, where it is, and the garment's box `x1 y1 x2 y2` in pixels, if known."""

    id: str
    source: Source
    box: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Outcome:
    """One image's logits `[ΣC]` and facts, or the error that kept it from being read."""

    id: str
    logits: npt.NDArray[np.float32] | None
    facts: Facts | None
    error: ImageError | None = None


def choose_device(name: str) -> torch.device:
    """`auto` = cuda, else mps, else cpu.

    Raises:
        UserError: the device is not there.
    """
    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available.insert(0, "cuda")
    if name == "auto":
        return torch.device(available[0])
    kind, _, number = name.partition(":")
    if kind not in available:
        raise UserError(f"--device {name}: not on this machine; there is {', '.join(available)}")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if number and not (number.isdecimal() and int(number) < count):
        raise UserError(f"--device {name}: no such device; there is {kind}:0" + (f" to {count - 1}" * (count > 1)))
    return torch.device(name)


class Tagger:
    """A trained network with its schema and preprocessing.

        tagger = Tagger.load("runs/laptop")
        tags = tagger("photo.jpg")
        tags["pattern"].label, tags["pattern"].confidence

    Attributes:
        schema: the attributes that it tags.
        preprocess: how images are prepared.
        hash: of the bundle, or empty for a network that is not on disk.
    """

    def __init__(
        self,
        network: Network,
        schema: AttributeSchema,
        preprocess: Preprocess,
        *,
        hash: str = "",  # noqa: A002
        device: str | torch.device = "auto",
    ) -> None:
        self.device = device if isinstance(device, torch.device) else choose_device(device)
        self.schema = schema
        self.preprocess = preprocess
        self.hash = hash
        self.network = network.to(self.device).eval()
        self._warned = False

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto") -> "Tagger":
        """Load a bundle, or a run's best.

        Raises:
            BundleError: missing, damaged or changed.
            UserError: the device is not there.
        """
        return cls.from_bundle(open_bundle(Path(path)), device=device)

    @classmethod
    def from_pretrained(cls, repository: str, *, revision: str | None = None, device: str = "auto") -> "Tagger":
        """Load a bundle of the Hugging Face Hub, downloading it to Gingham's cache folder when that has it not.

            tagger = Tagger.from_pretrained("owner/name", revision="0123456789abcdef0123456789abcdef01234567")

        Args:
            repository: `OWNER/NAME`.
            revision: a branch, tag or commit; default: the main branch. Only a commit always means the same model, and
                once in the cache needs no network.
            device: as in `load`.

        Raises:
            BundleError: the Hub is not reached or refuses, or what it has is no whole bundle.
            UserError: that is no name of a repository, or the device is not there.
            MachineError: the cache folder cannot be written.
        """
        return cls.from_bundle(cached_bundle(repository, revision), device=device)

    @classmethod
    def from_bundle(cls, bundle: Bundle, *, device: str = "auto") -> "Tagger":
        """Load the network of an opened bundle."""
        return cls(bundle.network(), bundle.schema, bundle.preprocess, hash=bundle.hash, device=device)

    def __call__(self, image: Source, *, box: Sequence[float] | None = None) -> dict[str, Tag]:
        """Tag one image.

        Args:
            image: path, encoded bytes, or PIL image.
            box: the garment's `x1 y1 x2 y2` in pixels of the upright image.

        Raises:
            ImageError: it cannot be read, or the box lies outside of it; `reason` says why.
            UserError: the box is not four numbers.
            TypeError: the image is of another type.
        """
        array = None if box is None else np.asarray(box, dtype=np.float32)
        if array is not None and array.shape != (4,):
            raise UserError(f"box: expected four numbers x1 y1 x2 y2, got {list(box or ())}")
        return self.tag([Item("image", image, array)])[0]

    def tag(self, items: Iterable[Item]) -> list[dict[str, Tag]]:
        """Tag several images.

        Raises:
            ImageError: one of them cannot be read; `stream` goes on instead.
        """
        results = []
        for outcome in self.stream(items):
            if outcome.logits is None:
                raise outcome.error or ImageError("unreadable", outcome.id)
            results.append(self.tags(outcome.logits))
        return results

    def tags(self, logits: npt.NDArray[np.float32]) -> dict[str, Tag]:
        """The best class and its probability for each attribute, from logits `[ΣC]`."""
        probabilities = softmax(logits[None], self.schema)[0]
        result = {}
        for attribute, part in zip(self.schema.attributes, self.schema.slices, strict=True):
            best = int(logits[part].argmax())
            result[attribute.name] = Tag(attribute.classes[best], float(probabilities[part][best]))
        return result

    def stream(self, items: Iterable[Item], *, batch_size: int = 8, workers: int = 2) -> Iterator[Outcome]:
        """Tag any number of images in order, in bounded memory; unreadable ones come back with their error.

        Decoding runs in threads ahead of the network.
        """
        loaded = prefetch(self._checked(items), self._load, workers=workers, depth=4 * batch_size)
        while group := list(islice(loaded, batch_size)):
            pixels = [entry[1] for entry in group if not isinstance(entry[1], ImageError)]
            logits = iter(self._forward(pixels))
            for item, entry, facts in group:
                if isinstance(entry, ImageError):
                    yield Outcome(item.id, None, None, entry)
                else:
                    yield Outcome(item.id, next(logits), facts)

    def _checked(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items as they are, with one warning in the caller's thread where a box is missing."""
        for item in items:
            missing = item.box is None or bool(np.isnan(item.box).all())
            if missing and self.preprocess.region == "box" and not self._warned:
                self._warned = True
                warnings.warn(
                    f"{item.id}: no garment box, but this model was trained on boxes: the whole image is used, "
                    "here and wherever a box is missing; give its box (--boxes on the command line)",
                    MissingBoxWarning,
                    stacklevel=2,
                )
            yield item

    def _load(self, item: Item) -> tuple[Item, npt.NDArray[np.uint8] | ImageError, Facts | None]:
        try:
            image = _image(item)
            # A row of NaN is no box; a NaN beside numbers is a bad one.
            box = None if item.box is None or np.isnan(item.box).all() else item.box
            pixels = self.preprocess.apply(image, box)
        except ImageError as failure:
            return item, failure, None
        except DataError as failure:
            return item, ImageError("bad_box", f"{item.id}: {failure}"), None
        share = float("nan")
        if box is not None:
            share = float((box[2] - box[0]) * (box[3] - box[1]) / (image.width * image.height))
        return item, pixels, Facts(image.width, image.height, float(pixels.mean()) / 255.0, share)

    @torch.inference_mode()
    def _forward(self, pixels: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        if not pixels:
            return np.empty((0, self.schema.total), dtype=np.float32)
        batch = torch.from_numpy(np.stack(pixels)).to(self.device)
        logits: npt.NDArray[np.float32] = self.network(batch).float().cpu().numpy()
        if not np.isfinite(logits).all():
            # Weights that are finite may still multiply to something that is not: no tag would mean anything then.
            raise BundleError("the model gives values that are not finite; its weights are no trained network's")
        return logits

    def predict(
        self,
        table: LabelTable,
        *,
        batch_size: int = 8,
        workers: int = 2,
        reporter: Reporter | None = None,
        source: Mapping[str, object] | None = None,
    ) -> Predictions:
        """Raw logits of a label table, with its targets.

        Raises:
            SchemaError: the table's schema is not the model's.
            DataError: an image cannot be read; the first ones are named.
        """
        table = table.with_schema(self.schema) if set(table.schema.names) == set(self.schema.names) else table
        self.schema.require_same(table.schema, "the model", table.source)
        boxes = table.boxes
        items = (
            Item(name, table.path(row), None if boxes is None else boxes[row]) for row, name in enumerate(table.images)
        )
        logits, facts, errors = [], [], []
        with (reporter or Reporter()).bar("predicting", len(table)) as bar:
            for outcome in self.stream(items, batch_size=batch_size, workers=workers):
                bar.advance()
                if outcome.logits is None or outcome.facts is None:
                    errors.append(f"{outcome.id} ({outcome.error.reason if outcome.error else 'unreadable'})")
                else:
                    logits.append(outcome.logits)
                    facts.append(outcome.facts)
        if errors:
            named = ", ".join(errors[:5]) + (f" and {len(errors) - 5} more" if len(errors) > 5 else "")
            raise DataError(f"{table.source}: {len(errors)} images cannot be read: {named}")
        columns = {name: np.array([getattr(fact, name) for fact in facts]) for name in Facts._fields}
        return Predictions(
            self.schema,
            table.images,
            np.stack(logits) if logits else np.empty((0, self.schema.total), dtype=np.float32),
            table.targets,
            columns,
            {"model": self.hash, "data": table.source, **(source or {})},
        )


def _image(item: Item) -> Image.Image:
    source = Path(item.source) if isinstance(item.source, str) else item.source
    if isinstance(source, Image.Image):
        try:
            # Pillow reads pixels late; a file that is cut off shows only now.
            source.load()
        except (OSError, SyntaxError, ValueError) as failure:
            raise ImageError("unreadable", f"{item.id}: not a readable image ({failure})") from None
        return upright_rgb(source, item.id)
    if isinstance(source, bytes):
        return decode_bytes(source, name=item.id)
    if isinstance(source, Path):
        return decode(source)
    kinds = "a path, encoded bytes, or a PIL image (of an array: PIL.Image.fromarray)"
    raise TypeError(f"{item.id}: expected {kinds}, got {type(source).__name__}")
