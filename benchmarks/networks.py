"""(a) The networks alone: uint8 pixels in, logits out, at batches of 1 and 16."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.comparison import Settings, Spec, Table, compare
from benchmarks.models import NAMES, exports, plain
from benchmarks.photos import small
from benchmarks.work import Work

__all__ = ["candidates", "eager", "eager_specs", "hugging_face", "measure", "runtime", "torch_variant"]

_ANSWERS = 16
"""Photos whose logits are compared."""

_SWINS: dict[str, dict[str, Any]] = {
    # Of microsoft/swin-large-patch4-window7-224 and swin-tiny-patch4-window7-224.
    "swin": {"embed_dim": 192, "depths": [2, 2, 18, 2], "num_heads": [6, 12, 24, 48]},
    "laptop": {"embed_dim": 96, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24]},
}
_SWIN_NAMES = {"swin": "Swin-L", "laptop": "Swin-T (a larger network)"}


def measure(settings: Settings) -> list[Table]:
    """A table for each network and batch."""
    return [
        compare(
            f"{NAMES[name]}, batches of {batch}",
            baselines=eager_specs(name, batch, settings),
            candidates=[*candidates(name, batch, settings), _hugging_face_spec(name, batch, settings)],
            unit="images",
            settings=settings,
            together=5 if name == "laptop" else 4,
            notes=[
                f"{made.name} was exported unchecked: {made.refused}."
                for made in exports(name, settings.models, settings.say)
                if made.refused
            ],
        )
        for name in settings.networks
        for batch in ((16,) if settings.quick else (1, 16))
    ]


def eager_specs(name: str, batch: int, settings: Settings, *, threads: Sequence[int] = ()) -> list[Spec]:
    """PyTorch eager fp32, for each number of threads."""
    counts = sorted(set(threads or (1, settings.clock.cores)))
    return [
        Spec(
            f"PyTorch eager fp32, {count} thread{'s' * (count > 1)}",
            "benchmarks.networks:eager",
            {"model": str(plain(name, settings.models)), "photos": _photos(settings), "batch": batch, "threads": count},
            {"OMP_NUM_THREADS": str(count)},
        )
        for count in counts
    ]


def candidates(name: str, batch: int, settings: Settings) -> list[Spec]:
    """Every runtime and precision that a network exports to, and what makes of it `torch.compile`."""
    cores = settings.clock.cores
    specs = [
        Spec(
            f"Gingham {made.name}",
            "benchmarks.networks:runtime",
            {"model": made.path, "photos": _photos(settings), "batch": batch, "threads": cores},
            {"OMP_NUM_THREADS": str(cores)},
            made.absent,
        )
        for made in exports(name, settings.models, settings.say)
    ]
    return [*specs, *_in_torch(specs, settings)]


def _in_torch(specs: Sequence[Spec], settings: Settings) -> list[Spec]:
    """PyTorch's variants that are no files: products by oneDNN, and what `torch.compile` makes of it."""
    by_name = {spec.name: spec for spec in specs}
    variants = [("fp32", "onednn"), ("fp32", "compiled"), ("bf16", "compiled")]
    return [
        replace(
            by_name[f"Gingham torch {precision}"],
            name=f"Gingham torch {precision}, {option}",
            factory="benchmarks.networks:torch_variant",
            arguments={**by_name[f"Gingham torch {precision}"].arguments, option: True},
        )
        for precision, option in variants
        if not (settings.quick and option == "compiled")
    ]


def _hugging_face_spec(name: str, batch: int, settings: Settings) -> Spec:
    cores = settings.clock.cores
    return Spec(
        f"transformers {_SWIN_NAMES[name]}, eager fp32",
        "benchmarks.networks:hugging_face",
        {"name": name, "photos": _photos(settings), "batch": batch, "threads": cores},
        {"OMP_NUM_THREADS": str(cores)},
    )


def _photos(settings: Settings) -> list[str]:
    return small(_ANSWERS, settings.models, settings.photos)


def eager(model: str, photos: list[str], batch: int, threads: int) -> Work:
    """A bundle's network in PyTorch, as it is."""
    import torch

    from gingham.inference.bundle import open_bundle

    torch.set_num_threads(threads)
    bundle = open_bundle(Path(model))
    network = bundle.networks()[0].eval()

    @torch.inference_mode()
    def forward(pixels: Any) -> Any:
        return network(torch.from_numpy(pixels)).numpy()

    return _on_pixels(forward, photos, batch, bundle.members[0].preprocess.size)


def runtime(model: str, photos: list[str], batch: int, threads: int) -> Work:
    """An exported model in its runtime."""
    from gingham.inference.bundle import open_bundle
    from gingham.inference.runtimes import open_runtimes

    bundle = open_bundle(Path(model))
    return _on_pixels(open_runtimes(bundle, threads=threads)[0], photos, batch, bundle.members[0].preprocess.size)


def torch_variant(
    model: str, photos: list[str], batch: int, threads: int, onednn: bool = False, compiled: bool = False
) -> Work:
    """A bundle of PyTorch's in a variant of its runtime."""
    from gingham.inference.bundle import open_bundle
    from gingham.inference.torch_runtime import TorchRuntime, set_threads

    set_threads(threads)
    bundle = open_bundle(Path(model))
    network = bundle.networks()[0]
    made = TorchRuntime(network, onednn=onednn, compiled=compiled)
    return _on_pixels(made, photos, batch, bundle.members[0].preprocess.size)


def hugging_face(name: str, photos: list[str], batch: int, threads: int) -> Work:
    """A Swin of `transformers` with random weights and 26 logits; other numbers, so no answers are compared."""
    import torch
    from transformers import SwinConfig, SwinForImageClassification

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = SwinForImageClassification(SwinConfig.from_dict({**_SWINS[name], "num_labels": 26}))
    network.train(False)
    mean, std = torch.tensor([0.485, 0.456, 0.406]) * 255, torch.tensor([0.229, 0.224, 0.225]) * 255

    @torch.inference_mode()
    def forward(pixels: Any) -> Any:
        images = (torch.from_numpy(pixels).float() - mean) / std
        return network(pixel_values=images.permute(0, 3, 1, 2)).logits.numpy()

    work = _on_pixels(forward, photos, batch, 224)
    return Work(work.call)


def _on_pixels(forward: Any, photos: list[str], batch: int, size: int) -> Work:
    """Batches of the same photos again and again."""
    from benchmarks.photos import pixels

    images = pixels(photos, size)
    batches = [images[begin : begin + batch] for begin in range(0, len(images) - batch + 1, batch)]
    turn = iter(range(10**9))

    def call() -> int:
        forward(batches[next(turn) % len(batches)])
        return batch

    def answers() -> list[list[float]]:
        return [list(map(float, row)) for part in batches for row in forward(part)]

    return Work(call, answers)
