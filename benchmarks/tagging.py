"""(b) From files to tags: decoding, network and table, against the loop that people write."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.comparison import Settings, Spec, Table, compare
from benchmarks.models import NAMES, exports, plain
from benchmarks.photos import origin, small
from benchmarks.work import Work

__all__ = ["gingham", "gingham_specs", "measure", "plain_loop", "plain_specs"]

_COUNTS = {"laptop": 256, "swin": 16}
_QUICK_COUNT = 48
_ANSWERS = 16


def measure(settings: Settings) -> list[Table]:
    """A table for each network."""
    return [
        compare(
            f"{NAMES[name]}: JPEG files to a table of tags",
            baselines=plain_specs(name, settings),
            candidates=gingham_specs(name, settings),
            unit="photos",
            settings=settings,
            together=5 if name == "laptop" else 4,
            notes=[f"{_count(name, settings)} {origin(settings.photos)}, read, tagged and written in each portion."],
        )
        for name in settings.networks
    ]


def _count(name: str, settings: Settings) -> int:
    return _QUICK_COUNT if settings.quick else _COUNTS[name]


def plain_specs(name: str, settings: Settings) -> list[Spec]:
    """The plain loop with 0, 1 or 2 workers, 1 or all threads, and batches of 1, 8 or 16.

    Of Swin-L with all threads, which it needs, and without the second worker: decoding is a hundredth of its time.
    """
    model = str(plain(name, settings.models))
    photos = small(_count(name, settings), settings.models, settings.photos)
    threads = sorted({1, settings.clock.cores} if name == "laptop" else {settings.clock.cores})
    workers = (0, 2) if settings.quick else (0, 1, 2) if name == "laptop" else (0, 1)
    batches = (16,) if settings.quick else (1, 8, 16)
    return [
        Spec(
            f"plain loop, {worker} workers, {thread} thread{'s' * (thread > 1)}, batches of {batch}",
            "benchmarks.tagging:plain_loop",
            {"model": model, "photos": photos, "workers": worker, "threads": thread, "batch": batch},
            {"OMP_NUM_THREADS": str(thread)},
        )
        for worker in workers
        for thread in threads
        for batch in batches
    ]


def gingham_specs(name: str, settings: Settings) -> list[Spec]:
    """`gingham predict` without the start of the process, for the plain model and each export; defaults elsewhere."""
    photos = small(_count(name, settings), settings.models, settings.photos)
    models = [("Gingham, model as trained", str(plain(name, settings.models)), "")]
    models += [
        (f"Gingham {made.name}", made.path, made.absent) for made in exports(name, settings.models, settings.say)
    ]
    specs = [
        Spec(label, "benchmarks.tagging:gingham", {"model": path, "photos": photos}, {}, absent)
        for label, path, absent in models
    ]
    specs.insert(
        1, replace(specs[0], name="Gingham --runtime auto", arguments={**specs[0].arguments, "runtime": "auto"})
    )
    fastest = next((spec for spec in reversed(specs) if not spec.absent), specs[0])
    specs.append(Spec(f"{fastest.name}, --fast-decode", fastest.factory, {**fastest.arguments, "fast_decode": True}))
    return specs


def plain_loop(model: str, photos: list[str], workers: int, threads: int, batch: int) -> Work:
    """`benchmarks.plain` on the photos."""
    import torch
    from torch.utils.data import DataLoader

    from benchmarks.plain import Photos, load, tag, transform

    torch.set_num_threads(threads)
    network, preprocess, classes = load(model)
    loader = DataLoader(
        Photos(photos, transform(preprocess)), batch_size=batch, num_workers=workers, persistent_workers=workers > 0
    )
    folder = TemporaryDirectory()
    out = Path(folder.name) / "tags.csv"

    def call() -> int:
        return len(tag(network, loader, classes, out))

    def answers() -> list[list[float]]:
        rows: list[list[float]] = tag(network, loader, classes, out)[:_ANSWERS].tolist()
        return rows

    return Work(call, answers, folder.cleanup)


def gingham(model: str, photos: list[str], fast_decode: bool = False, runtime: str | None = None) -> Work:
    """`Tagger` and `tag_images`, as `gingham predict` calls them."""
    from gingham.inference.bulk import tag_images
    from gingham.inference.load import Item
    from gingham.inference.tagger import Tagger

    tagger = Tagger.load(model, fast_decode=fast_decode, runtime=runtime)
    items = [Item(path, Path(path)) for path in photos]
    folder = TemporaryDirectory()
    out = Path(folder.name) / "tags.csv"

    def call() -> int:
        failed = tag_images(tagger, items, out, total=len(items), options={})
        assert failed == 0, f"{failed} photos could not be read"
        return len(items)

    def answers() -> list[list[float]]:
        outcomes = tagger.stream(items[:_ANSWERS])
        return [[] if one.logits is None else list(map(float, one.logits)) for one in outcomes]

    return Work(call, answers, folder.cleanup, facts=(("runs in", tagger.runtime),))
