"""(f) How fast this machine multiplies matrices in each precision, and how near to that each runtime comes.

A network cannot be faster than its multiplications: GFLOP an image over the machine's rate is the floor of its time.
Both are measured in the same rounds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import networks
from benchmarks.comparison import Settings, Spec, Table, compare
from benchmarks.models import EXPORTS, NAMES, plain
from benchmarks.tables import figure
from benchmarks.work import Work

__all__ = ["flops", "measure", "openvino_product", "runtime", "torch_product"]

_SIDE = 2048
_GFLOP = 2 * _SIDE**3 / 1e9
_BATCHES = (1, 16)


def measure(settings: Settings) -> list[Table]:
    """The rates, and for each network and precision the runtimes against the fastest of them."""
    products = _products(settings)
    everything = [spec for specs in products.values() for spec in specs]
    rates = compare(
        f"Products of matrices of {_SIDE} x {_SIDE}",
        baselines=everything[:1],
        candidates=everything[1:],
        unit="GFLOP",
        settings=settings,
        together=len(everything),
        notes=["An operation is a multiplication or an addition, of floating point numbers or of integers."],
    )
    tables = [rates]
    fastest = {precision: _fastest(rates, [spec.name for spec in specs]) for precision, specs in products.items()}
    for name in settings.networks:
        flop = flops(plain(name, settings.models))
        for precision, best in fastest.items():
            if best is None:
                continue
            spec = next(spec for spec in everything if spec.name == best)
            table = compare(
                f"{NAMES[name]}, {precision}: how near to the floor",
                baselines=[spec],
                candidates=_runtimes(name, precision, flop, settings),
                unit="GFLOP",
                settings=settings,
                together=4,
            )
            tables.append(_with_floor(table, flop))
    return tables


def _products(settings: Settings) -> Mapping[str, Sequence[Spec]]:
    """For each precision, the ways to multiply matrices in it; the first of all is what PyTorch does by itself."""
    cores = settings.clock.cores

    def spec(name: str, factory: str, **arguments: Any) -> Spec:
        environment = {"OMP_NUM_THREADS": str(cores)}
        return Spec(name, f"benchmarks.rates:{factory}", {"threads": cores, **arguments}, environment)

    return {
        "fp32": [
            spec("PyTorch fp32, as set", "torch_product", precision="fp32"),
            spec("PyTorch fp32, oneDNN", "torch_product", precision="fp32", onednn=True),
            spec("OpenVINO fp32", "openvino_product", precision="fp32"),
        ],
        "bf16": [
            spec("PyTorch bf16", "torch_product", precision="bf16"),
            spec("OpenVINO bf16", "openvino_product", precision="bf16"),
        ],
        "int8": [
            spec("PyTorch int8 (oneDNN)", "torch_product", precision="int8"),
            spec("OpenVINO int8", "openvino_product", precision="int8"),
        ],
    }


def _fastest(rates: Table, names: Sequence[str]) -> str | None:
    found = {row.name: median(row.values) for row in rates.rows if row.name in names}
    return min(found, key=lambda name: found[name]) if found else None


def _runtimes(name: str, precision: str, flop: float, settings: Settings) -> list[Spec]:
    specs = []
    for batch in _BATCHES[settings.quick :]:
        candidates = networks.candidates(name, batch, settings)
        if precision == "fp32":
            candidates = [*networks.eager_specs(name, batch, settings, threads=[settings.clock.cores]), *candidates]
        wanted = {f"Gingham {library} {kind}" for library, kind in EXPORTS if kind == precision}
        for spec in candidates:
            if spec.name.partition(",")[0] in wanted or spec.name.startswith("PyTorch"):
                arguments = {"inner": spec.factory.partition(":")[2], "arguments": spec.arguments, "flop": flop}
                specs.append(
                    replace(
                        spec,
                        name=f"{spec.name}, batches of {batch}",
                        factory="benchmarks.rates:runtime",
                        arguments=arguments,
                    )
                )
    return specs


def _with_floor(table: Table, flop: float) -> Table:
    """With images a second beside GFLOP, and what would be possible."""
    gigas = flop / 1e9
    rows = []
    for row in table.rows:
        images = figure([value * gigas for value in row.values], "images")
        cells = {key: value for key, value in row.cells.items() if key == "peak memory"}
        rows.append(replace(row, cells={"images/s, or the floor": images, **cells}))
    note = f"{gigas:,.3g} GFLOP an image; the ratio is the share of the machine's rate."
    return replace(table, rows=rows, notes=[note])


def flops(model: Path) -> int:
    """Operations for one image of a plain bundle."""
    from gingham.inference.bundle import open_bundle
    from gingham.models.cost import forward_flops
    from gingham.models.network import outline

    bundle = open_bundle(model)
    member = bundle.members[0]
    return forward_flops(outline(member.model, bundle.schema, member.preprocess.size))


def runtime(inner: str, arguments: Mapping[str, Any], flop: float) -> Work:
    """A candidate of `networks` whose units are GFLOP."""
    work: Work = getattr(networks, inner)(**arguments)
    return Work(lambda: work.call() * flop / 1e9)


def torch_product(threads: int, precision: str, onednn: bool = False) -> Work:
    """Products in PyTorch. `onednn` is what `set_float32_matmul_precision("medium")` comes to on this processor."""
    import torch

    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("medium" if onednn else "highest")
    torch.manual_seed(0)
    one, other = torch.rand(_SIDE, _SIDE) - 0.5, torch.rand(_SIDE, _SIDE) - 0.5
    exact = one.double() @ other.double()
    if precision == "int8":
        one, other = ((128 * tensor).round().clamp(-128, 127).to(torch.int8) for tensor in (one, other))
        multiply: Any = torch._int_mm
        exact = one.double() @ other.double()
    else:
        kind = torch.float32 if precision == "fp32" else torch.bfloat16
        one, other = one.to(kind), other.to(kind)
        multiply = torch.matmul

    @torch.inference_mode()
    def call() -> float:
        multiply(one, other)
        return _GFLOP

    error = (multiply(one, other).double() - exact).abs().max() / exact.std()
    return Work(call, facts=(("largest error", f"{float(error):.1g} std"),))


def openvino_product(threads: int, precision: str) -> Work:
    """Products in OpenVINO, of an input and a constant; for int8 both are quantised, as in an exported network."""
    import numpy as np
    import openvino
    from openvino import opset13

    rng = np.random.default_rng(0)
    one, other = (rng.random((_SIDE, _SIDE), dtype=np.float32) - 0.5 for _ in range(2))
    given = opset13.parameter([_SIDE, _SIDE], np.float32)
    left, right = given, opset13.constant(other)
    if precision == "int8":
        low, high = np.float32(-0.5), np.float32(0.5)
        left, right = (
            opset13.fake_quantize(node, low, high, low, high, levels) for node, levels in ((left, 256), (right, 255))
        )
    model = openvino.Model([opset13.matmul(left, right, False, False)], [given])
    settings = {
        "INFERENCE_PRECISION_HINT": "f32" if precision == "fp32" else "bf16",
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()

    def call() -> float:
        request.infer({0: one}, share_inputs=True)
        return _GFLOP

    call()
    exact = one.astype(np.float64) @ other.astype(np.float64)
    error = np.abs(request.get_output_tensor(0).data - exact).max() / exact.std()
    return Work(call, facts=(("largest error", f"{error:.1g} std"),))
