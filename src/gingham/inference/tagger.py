"""The public `Tagger`: images in, tags or predictions out."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Unpack

import numpy as np
import numpy.typing as npt

from gingham.data.decode import MAX_PIXELS
from gingham.data.table import LabelTable
from gingham.errors import DataError, ImageError, UserError
from gingham.inference.bundle import Bundle, open_bundle
from gingham.inference.calibration import StoredCalibration, identity
from gingham.inference.decide import Decider, Tag
from gingham.inference.explain import Explanation, explain
from gingham.inference.load import Decoders, Facts, Item, Source
from gingham.inference.panel import Panel, Voter
from gingham.inference.pipeline import Outcome, open_decoders, outcomes
from gingham.inference.runtimes import Running, open_runtimes
from gingham.inference.viewed import ViewedPhoto
from gingham.predictions import Predictions
from gingham.progress import Reporter
from gingham.schema import AttributeSchema

__all__ = ["Facts", "Item", "MissingBoxWarning", "Outcome", "Tag", "Tagger", "Voter"]

_BATCH = 8


class MissingBoxWarning(UserWarning):
    """A model trained on garment boxes got an image without one and used the whole image."""


class Tagger:
    """One or several trained networks with their schema, and how they look at images.

    Where there are several, or several views of an image, their probabilities are averaged (see `Panel`).

        tagger = Tagger.load("runs/laptop")
        tags = tagger("photo.jpg")
        tags["pattern"].label, tags["pattern"].confidence

    A calibrated bundle (`gingham calibrate`) gives calibrated confidences, and says which tags may go without a look:

        tagger("photo.jpg", precision=0.95)["pattern"].accepted

    Attributes:
        schema: the attributes that it tags.
        voters: its networks.
        hash: of the bundle, or empty for networks that are not on disk.
        max_pixels: larger images are refused.
        deterministic: the same image gives the same bits, whatever else is tagged: each is a batch of its own, on one
            thread, with deterministic algorithms. Bits are equal on equal machines with equal versions. It is so if all
            networks were loaded so.
        isolated: images are decoded in child processes, so that one that crashes a library costs only itself. It is
            for many images at once; images that Pillow has opened already are not isolated.
        fast_decode: JPEG photos much larger than what is seen of them are decoded at a smaller scale, which is faster
            and gives nearly the same pixels (see `data.reduced`); other images, and images that Pillow has opened
            already, are as without it. Explanations are always of the exact pixels.
        calibration: how logits become tags and confidences.
    """

    def __init__(
        self,
        voters: Sequence[Voter],
        schema: AttributeSchema,
        *,
        hash: str = "",  # noqa: A002
        max_pixels: int = MAX_PIXELS,
        isolated: bool = False,
        fast_decode: bool = False,
        calibration: StoredCalibration | None = None,
    ) -> None:
        self.schema = schema
        self.voters = tuple(voters)
        self.hash = hash
        self.max_pixels = max_pixels
        self.deterministic = all(voter.runtime.kind.deterministic for voter in self.voters)
        self.isolated = isolated
        self.fast_decode = fast_decode
        self._panel = Panel(self.voters, schema)
        self.calibration = calibration or identity(schema)
        self._plain = self.decider()
        self._warned = False

    @property
    def boxed(self) -> int:
        """How many of the networks look at the garment's box."""
        return sum(voter.preprocess.region == "box" for voter in self.voters)

    @property
    def runtime(self) -> str:
        """What its networks run in, as in `openvino int8 on cpu, 2 threads`; each kind once."""
        return "; ".join(dict.fromkeys(str(voter.runtime.kind) for voter in self.voters))

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        max_pixels: int | None = None,
        isolated: bool = False,
        fast_decode: bool = False,
        **running: Unpack[Running],
    ) -> "Tagger":
        """Load a bundle, or a run's best.

            Tagger.load("runs/laptop", runtime="auto", threads=2)

        Args:
            path: its folder.
            max_pixels: larger images are refused; None = the limit of the model's training.
            isolated: see `Tagger`.
            fast_decode: see `Tagger`.
            running: how it is run: `device`, `threads`, `deterministic`, `runtime`; see `Running`.

        Raises:
            BundleError: missing, damaged or changed.
            UserError: the device or runtime is not there.
        """
        return cls.from_bundle(
            open_bundle(Path(path)), max_pixels=max_pixels, isolated=isolated, fast_decode=fast_decode, **running
        )

    @classmethod
    def from_pretrained(
        cls,
        repository: str,
        *,
        revision: str | None = None,
        max_pixels: int | None = None,
        isolated: bool = False,
        fast_decode: bool = False,
        **running: Unpack[Running],
    ) -> "Tagger":
        """Load a bundle of the Hugging Face Hub, downloading it to Gingham's cache folder when that has it not.

            tagger = Tagger.from_pretrained("owner/name", revision="0123456789abcdef0123456789abcdef01234567")

        Args:
            repository: `OWNER/NAME`.
            revision: a branch, tag or commit; default: the main branch. Only a commit always means the same model, and
                once in the cache needs no network.
            max_pixels: as in `load`, like all that follow.
            isolated: as in `load`.
            fast_decode: as in `load`.
            running: as in `load`.

        Raises:
            BundleError: the Hub is not reached or refuses, or what it has is no whole bundle.
            UserError: that is no name of a repository, or the device or runtime is not there.
            MachineError: the cache folder cannot be written.
        """
        # Here, so that who does not ask the Hub pays for none of its library.
        from gingham.inference.repository import cached_bundle

        return cls.from_bundle(
            cached_bundle(repository, revision),
            max_pixels=max_pixels,
            isolated=isolated,
            fast_decode=fast_decode,
            **running,
        )

    @classmethod
    def from_bundle(
        cls,
        bundle: Bundle,
        *,
        max_pixels: int | None = None,
        isolated: bool = False,
        fast_decode: bool = False,
        reporter: Reporter | None = None,
        **running: Unpack[Running],
    ) -> "Tagger":
        """Load the networks of an opened bundle; the arguments are those of `load` and `open_runtimes`."""
        runtimes = open_runtimes(bundle, reporter=reporter, **running)
        return cls(
            [
                Voter(runtime, member.preprocess, member.test_time)
                for runtime, member in zip(runtimes, bundle.members, strict=True)
            ],
            bundle.schema,
            hash=bundle.hash,
            max_pixels=bundle.data.max_pixels if max_pixels is None else max_pixels,
            isolated=isolated,
            fast_decode=fast_decode,
            calibration=bundle.calibration,
        )

    def decider(
        self, *, precision: float | None = None, coverage: float | None = None, top_k: int | None = None
    ) -> Decider:
        """What makes tags of logits, with all that is asked for. See `Decider` for arguments and errors."""
        return Decider(self.schema, self.calibration, precision=precision, coverage=coverage, top_k=top_k)

    def __call__(
        self,
        image: Source,
        *,
        box: Sequence[float] | None = None,
        precision: float | None = None,
        coverage: float | None = None,
        top_k: int | None = None,
    ) -> dict[str, Tag]:
        """Tag one image.

        Args:
            image: path, encoded bytes, or PIL image.
            box: the garment's `x1 y1 x2 y2` in pixels of the upright image.
            precision: fill `Tag.accepted`, by the thresholds stored for this promise.
            coverage: fill `Tag.among`, the prediction set stored for this coverage.
            top_k: fill `Tag.top`, so many of the most probable classes.

        Raises:
            ImageError: it cannot be read, or the box lies outside of it; `reason` says why.
            UserError: the box is not four numbers, or nothing is stored for the precision or coverage.
            TypeError: the image is of another type.
        """
        decider = self.decider(precision=precision, coverage=coverage, top_k=top_k)
        return self.tag([Item.unnamed(image, box)], decider)[0]

    def tag(self, items: Iterable[Item], decider: Decider | None = None) -> list[dict[str, Tag]]:
        """Tag several images; `decider` says with what besides label and confidence.

        Raises:
            ImageError: one of them cannot be read; `stream` goes on instead.
        """
        results = []
        for outcome in self.stream(items):
            if outcome.logits is None:
                raise outcome.error or ImageError("unreadable", outcome.id)
            results.append(outcome.logits)
        return (decider or self._plain).many(np.stack(results)) if results else []

    def explain(
        self,
        image: Source | Item,
        *,
        box: Sequence[float] | None = None,
        occlusion: bool = True,
        reporter: Reporter | None = None,
    ) -> Explanation:
        """Tag one image and say where in it the tags come from.

        Args:
            image: path, encoded bytes, PIL image, or an item, which has a name and a box of its own.
            box: the garment's `x1 y1 x2 y2` in pixels of the upright image.
            occlusion: hide patches too; that takes some 50 to 80 times as long as tagging.
            reporter: hears of the patches.

        Raises:
            ImageError: as `__call__`, like the others.
        """
        item = image if isinstance(image, Item) else Item.unnamed(image, box)
        return explain(self.viewed(item), item.id, self.schema, self.tags, occlusion=occlusion, reporter=reporter)

    def viewed(self, item: Item) -> ViewedPhoto:
        """One image as the networks see it: for what hides parts of it. Raises `ImageError`."""
        with self._decoders(1) as decoders:
            return ViewedPhoto(self._panel, next(self._checked([item])), decoders.exact)

    def tags(self, logits: npt.NDArray[np.float32]) -> dict[str, Tag]:
        """The chosen class and its confidence for each attribute, from logits `[ΣC]`."""
        return self._plain(logits)

    def batch_size(self, asked: int | None) -> int:
        """Views in one pass of a network: 8 unless asked for others, and 1 where that decides the bits.

        Raises:
            UserError: several were asked for, and the tagger is deterministic.
        """
        if self.deterministic and asked not in (None, 1):
            raise UserError(
                f"--batch-size {asked}: a deterministic tagger takes one image at a time; leave the batch size out"
            )
        return 1 if self.deterministic else asked or _BATCH

    def stream(self, items: Iterable[Item], *, batch_size: int | None = None, workers: int = 2) -> Iterator[Outcome]:
        """Tag any number of images in order, in bounded memory; unreadable ones come back with their error.

        Decoding runs in threads ahead of the networks, and these run while the caller has the outcomes before (see
        `inference.pipeline`).

        Raises:
            UserError: see `batch_size`.
        """
        size = self.batch_size(batch_size)
        # One batch alone has nothing to be overlapped with. And what makes PyTorch deterministic is set for the whole
        # process, not while the caller may be using it.
        alone = isinstance(items, Sized) and len(items) <= size
        with self._decoders(workers) as decoders:
            yield from outcomes(
                self._panel,
                self._checked(items),
                decoders,
                batch_size=size,
                workers=workers,
                ahead=not (alone or self.deterministic),
            )

    def _decoders(self, workers: int) -> AbstractContextManager[Decoders]:
        return open_decoders(max_pixels=self.max_pixels, isolated=self.isolated, fast=self.fast_decode, workers=workers)

    def _checked(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items as they are, with one warning in the caller's thread where a box is missing."""
        for item in items:
            missing = item.box is None or bool(np.isnan(item.box).all())
            if missing and self.boxed and not self._warned:
                self._warned = True
                some = "this model was" if self.boxed == len(self.voters) else "a part of this model was"
                warnings.warn(
                    f"{item.id}: no garment box, but {some} trained on boxes: the whole image is used, "
                    "here and wherever a box is missing; give its box (--boxes on the command line)",
                    MissingBoxWarning,
                    stacklevel=2,
                )
            yield item

    def predict(
        self,
        table: LabelTable,
        *,
        batch_size: int | None = None,
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
        approximate = {"fast_decode": True} if self.fast_decode else {}
        return Predictions(
            self.schema,
            table.images,
            np.stack(logits) if logits else np.empty((0, self.schema.total), dtype=np.float32),
            table.targets,
            columns,
            {"model": self.hash, "runtime": self.runtime, "data": table.source, **approximate, **(source or {})},
        )
