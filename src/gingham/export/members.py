"""The networks of a bundle, one after the other, as files of another runtime."""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from gingham.data.decode import decode
from gingham.data.table import LabelTable
from gingham.errors import DataError, ImageError
from gingham.export.photos import Photos
from gingham.export.quantise import Care, cares, quantised
from gingham.export.tune import Step, tuned
from gingham.inference.bundle import Bundle
from gingham.inference.load import Decoders, Item, Look, Views, load
from gingham.inference.member import Member, Precision, RuntimeName
from gingham.inference.networks import load_network
from gingham.inference.runtime import Runtime
from gingham.inference.torch_runtime import TorchRuntime, set_threads
from gingham.models.convert import save_openvino, to_onnx, to_openvino
from gingham.models.graph import Graph
from gingham.models.lower import lower, stages_to_keep
from gingham.models.network import Network
from gingham.progress import Reporter
from gingham.tensors import save_tensors

__all__ = ["MemberWriter"]


@dataclass
class MemberWriter:
    """Writes the file of each network of a bundle: what `write_exported` calls.

    No two networks are in memory at once.

    Attributes:
        bundle: the model as it was trained.
        runtime: the library to write for.
        precision: of the weights.
        attention: whether graphs give the attention maps.
        photos: what is quantised and tuned with; needed for int8.
        max_pixels: larger photos are refused.
        threads: of trials.
        reporter: hears of progress.
        by_tags: whether trials are judged by tags or by logits; see `tuned`.
        care: of each network that was quantised, or is in bfloat16 for PyTorch, how, and what it kept; filled as they
            are written.
    """

    bundle: Bundle
    runtime: RuntimeName
    precision: Precision
    attention: bool
    photos: Photos | None
    max_pixels: int
    threads: int
    reporter: Reporter
    by_tags: bool
    care: list[str]

    def __call__(self, number: int, file: Path) -> int:
        """Write the network of the member with this number, counted from 0; what comes back is its `float_stages`."""
        member = self.bundle.members[number]
        self.reporter.say(f"converting network {number + 1} of {len(self.bundle.members)} for {self.runtime}")
        network = load_network(member, self.bundle.path, self.bundle.schema)
        if self.runtime == "torch":
            return self._write_torch(network, file, member)
        graph = Graph(network, self.bundle.schema, attention=self.attention)
        del network
        transformer = any(isinstance(module, nn.LayerNorm) for module in graph.modules())
        size = member.preprocess.size
        if self.runtime == "onnx" and self.precision == "fp32":
            to_onnx(graph, (size, size), file)
            return 0
        work = file.with_name(f"{file.stem}.work")
        work.mkdir()
        plain = work / "plain.onnx"
        to_onnx(graph, (size, size), plain, external=self.runtime == "openvino")
        del graph
        gc.collect()
        if self.runtime == "openvino":
            self._write_openvino(plain, file, member, transformer=transformer)
        else:
            self._write_onnx(plain, file, member, transformer=transformer)
        gc.collect()
        for leftover in work.iterdir():
            leftover.unlink()
        work.rmdir()
        return 0

    def _write_torch(self, network: Network, file: Path, member: Member) -> int:
        stages = 0
        if self.precision == "bf16":
            if self.photos is not None and self.photos.tuning is not None:
                stages = self._float_stages(network, self.photos.tuning, member)
            lower(network, stages)
        save_tensors(file, network.state_dict())
        return stages

    def _float_stages(self, network: Network, tuning: LabelTable, member: Member) -> int:
        set_threads(self.threads)

        def lowered(stages: int) -> tuple[int, Runtime]:
            return stages, TorchRuntime(lower(load_network(member, self.bundle.path, self.bundle.schema), stages))

        names = [
            "all in bfloat16",
            *(f"first {count} stages in float" for count in range(1, 1 + stages_to_keep(network))),
        ]
        found = tuned(
            lambda: TorchRuntime(network),
            [Step(name, partial(lowered, stages)) for stages, name in enumerate(names)],
            tuning=self._views(tuning, member),
            schema=self.bundle.schema,
            precision="bf16",
            by_tags=self.by_tags,
            reporter=self.reporter,
        )
        self.care.append(found.words)
        return found.product

    def _write_openvino(self, plain: Path, file: Path, member: Member, *, transformer: bool) -> None:
        from gingham.inference.openvino_runtime import OpenVinoRuntime

        def run(model: Any, precision: str) -> Runtime:
            size, total = member.preprocess.size, self.bundle.schema.total
            return OpenVinoRuntime(model, size=size, total=total, precision=precision, threads=self.threads)

        model = to_openvino(plain)
        if self.precision == "int8":
            model = self._tuned(model, run, member, transformer=transformer)
        save_openvino(model, file.with_suffix(""))

    def _write_onnx(self, plain: Path, file: Path, member: Member, *, transformer: bool) -> None:
        import onnx

        from gingham.inference.onnx_runtime import OnnxRuntime

        def run(model: Any, precision: str) -> Runtime:
            trial = plain.with_name("trial.onnx")
            onnx.save(model, trial)
            size, total = member.preprocess.size, self.bundle.schema.total
            return OnnxRuntime(trial, size=size, total=total, precision=precision, threads=self.threads)

        onnx.save(self._tuned(onnx.load(plain), run, member, transformer=transformer), file)

    def _tuned(self, model: Any, run: Callable[[Any, str], Runtime], member: Member, *, transformer: bool) -> Any:
        photos = self.photos
        assert photos is not None
        assert photos.calibrating is not None
        assert photos.tuning is not None
        calibrating = [views[0] for views in self._views(photos.calibrating, member)]

        def made(care: Care) -> tuple[Any, Runtime]:
            candidate = quantised(model, calibrating, care, transformer=transformer)
            return candidate, run(candidate, "int8")

        found = tuned(
            lambda: run(model, "fp32"),
            [Step(care.name, partial(made, care)) for care in cares(transformer=transformer)],
            tuning=self._views(photos.tuning, member),
            schema=self.bundle.schema,
            precision="int8",
            by_tags=self.by_tags,
            reporter=self.reporter,
        )
        self.care.append(found.words)
        return found.product

    def _views(self, table: LabelTable, member: Member) -> list[Views]:
        """What a network sees of each photo. Raises `DataError` for one that cannot be read."""
        look = Look(member.preprocess, member.test_time)
        decoders = Decoders(partial(decode, max_pixels=self.max_pixels))
        seen = []
        for row, name in enumerate(table.images):
            item = Item(name, table.path(row), None if table.boxes is None else table.boxes[row])
            _, views, _ = load([look], decoders, item)
            if isinstance(views, ImageError):
                raise DataError(f"{table.source}: {name} cannot be read ({views.reason})")
            seen.append(views[0])
        return seen
