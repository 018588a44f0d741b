"""A table of candidates against their baseline, out of processes that are measured in turn."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from math import sqrt
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.clock import Clock, SystemClock
from benchmarks.harness import Plan, Sample, fastest, interleave, ratios
from benchmarks.process import MissingError, Process
from benchmarks.work import Answers

__all__ = ["QUICK", "Row", "Settings", "Spec", "Table", "compare", "logit_difference", "pixel_difference"]

QUICK = Plan(rounds=3, seconds=0.2, warm=1, tries=2, pause=0.1)
"""For a look at whether a benchmark runs; its figures say little."""

_MEGA = 2**20
_PEAK = "peak memory"

Differ = Callable[[Answers, Answers], dict[str, str]]


@dataclass(frozen=True)
class Spec:
    """A candidate before it is built: its name, and what `Process` needs.

    `absent` says why it cannot even be tried.
    """

    name: str
    factory: str
    arguments: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=dict)
    absent: str = ""


@dataclass(frozen=True)
class Settings:
    """What `benchmarks.run` was asked for.

    Attributes:
        quick: few and short samples, the laptop model only.
        swin: the Swin-L model too.
        models: folder of models, made where missing.
        photos: folder of the user's photos, or None for those of `photos.prepare`.
        plan: how much is measured.
        say: tells what goes on.
        clock: of this machine.
    """

    quick: bool
    swin: bool
    models: Path
    photos: Path | None
    plan: Plan
    say: Callable[[str], None] = print
    clock: Clock = field(default_factory=SystemClock)

    @property
    def networks(self) -> list[str]:
        """The models that are measured."""
        return ["laptop", *(["swin"] if self.swin else [])]


@dataclass(frozen=True)
class Row:
    """A candidate's figures.

    Attributes:
        name: of the candidate.
        values: seconds a unit, or whatever the table is of; one a round.
        ratios: to the baseline, one a round.
        cells: further columns.
        samples: all that is known of each sample.
    """

    name: str
    values: Sequence[float]
    ratios: Sequence[float]
    cells: Mapping[str, str] = field(default_factory=dict)
    samples: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Table:
    """A table of a page.

    Attributes:
        title: above it.
        baseline: name of the row that the ratios are to.
        unit: what a value counts: `images` and `steps` are shown a second, `seconds` and `MB` as they are.
        rows: the baseline's first.
        missing: what could not be measured -> the reason.
        notes: below it.
        sweep: seconds a unit of each variant of the baseline, of which the fastest was taken.
    """

    title: str
    baseline: str
    unit: str
    rows: Sequence[Row]
    missing: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    sweep: Mapping[str, float] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def logit_difference(reference: Answers, answers: Answers) -> dict[str, str]:
    """The largest difference of two sets of logits, in standard deviations of the first."""
    differences = _differences(reference, answers)
    flat = [value for row in reference for value in row]
    mean = sum(flat) / len(flat)
    deviation = sqrt(sum((value - mean) ** 2 for value in flat) / len(flat))
    return {"logits differ by": f"{max(differences) / deviation:.1g} std" if deviation else "?"}


def pixel_difference(reference: Answers, answers: Answers) -> dict[str, str]:
    """The mean and the largest difference of pixels, of 255."""
    differences = _differences(reference, answers)
    return {"pixels differ by: mean, most": f"{sum(differences) / len(differences):.2f}, {max(differences):.0f}"}


def _differences(reference: Answers, answers: Answers) -> list[float]:
    """Of each number. Raises `ValueError` if they are not as many."""
    return [
        abs(one - other)
        for row, found in zip(reference, answers, strict=True)
        for one, other in zip(row, found, strict=True)
    ]


def compare(
    title: str,
    *,
    baselines: Sequence[Spec],
    candidates: Sequence[Spec],
    unit: str,
    settings: Settings,
    together: int = 5,
    notes: Sequence[str] = (),
    differ: Differ = logit_difference,
    memory: bool = True,
) -> Table:
    """Measure candidates against the fastest of the baselines.

    Args:
        title: of the table.
        baselines: variants of one thing (threads, workers, batch sizes); the fastest in a sweep is the baseline.
        candidates: what is compared with it.
        unit: see `Table`.
        settings: how much.
        together: so many processes beside the baseline's are kept at a time: each holds a model.
        notes: below the table.
        differ: says in cells how far two sets of answers are apart.
        memory: whether the most memory that a process held is told.

    Raises:
        MissingError: no baseline can be measured.
    """
    missing: dict[str, str] = {}
    sweep = _sweep(baselines, settings, missing)
    best = baselines[0] if len(baselines) == 1 else next(spec for spec in baselines if spec.name == fastest(sweep))
    rows: dict[str, Row] = {}
    base: list[Sample] = []
    cells: Mapping[str, str] = {}
    for begin in range(0, max(1, len(candidates)), together):
        group = candidates[begin : begin + together]
        found, facts = _together([best, *group], settings, missing, differ)
        if best.name not in found:
            raise MissingError(f"the baseline {best.name}: {missing[best.name]}")
        base += found[best.name]
        cells = facts[best.name]
        for spec in group:
            if spec.name in found:
                rows[spec.name] = _row(spec.name, found[best.name], found[spec.name], facts[spec.name])
    shown = [_row(best.name, base, base, cells), *rows.values()]
    if not memory:
        shown = [replace(row, cells={key: cell for key, cell in row.cells.items() if key != _PEAK}) for row in shown]
    return Table(
        title=title,
        baseline=best.name,
        unit=unit,
        rows=shown,
        missing=missing,
        notes=list(notes),
        sweep={name: median(sample.seconds for sample in samples) for name, samples in sweep.items()},
    )


def _sweep(specs: Sequence[Spec], settings: Settings, missing: dict[str, str]) -> dict[str, list[Sample]]:
    """Samples of each variant of the baseline; nothing, if there is only one."""
    if len(specs) == 1:
        return {}
    plan = replace(settings.plan, warm=0, rounds=min(2, settings.plan.rounds))
    found: dict[str, list[Sample]] = {}
    for spec in specs:
        try:
            with _started(spec, settings) as process:
                found |= interleave([process], settings.clock, plan, missing=missing)
        except MissingError as failure:
            missing[spec.name] = str(failure)
    if not found:
        raise MissingError("; ".join(f"{name}: {reason}" for name, reason in missing.items()))
    return found


def _started(spec: Spec, settings: Settings) -> Process:
    if spec.absent:
        raise MissingError(spec.absent)
    settings.say(f"  {spec.name}")
    return Process(spec.name, spec.factory, spec.arguments, spec.environment)


def _together(
    specs: Sequence[Spec], settings: Settings, missing: dict[str, str], differ: Differ
) -> tuple[dict[str, list[Sample]], dict[str, dict[str, str]]]:
    """Samples and further cells of candidates that are measured in turn; the first is the baseline."""
    with ExitStack() as stack:
        processes: dict[str, Process] = {}
        for spec in specs:
            try:
                processes[spec.name] = stack.enter_context(_started(spec, settings))
            except MissingError as failure:
                missing[spec.name] = str(failure)
                settings.say(f"    missing: {failure}")
        found = interleave(list(processes.values()), settings.clock, settings.plan, missing=missing)
        reference = processes[specs[0].name].answers() if specs[0].name in found else None
        cells = {name: _cells(processes[name], reference, name == specs[0].name, differ) for name in found}
    return found, cells


def _cells(process: Process, reference: Answers | None, is_reference: bool, differ: Differ) -> dict[str, str]:
    cells = dict(process.facts)
    cells[_PEAK] = f"{process.peak() / _MEGA:,.0f} MB"
    answers = None if reference is None or is_reference else process.answers()
    if reference is not None and answers is not None:
        cells |= differ(reference, answers)
    return cells


def _row(name: str, base: Sequence[Sample], samples: Sequence[Sample], cells: Mapping[str, str]) -> Row:
    return Row(
        name=name,
        values=[sample.seconds for sample in samples],
        ratios=ratios(base, samples),
        cells=cells,
        samples=[sample.plain() for sample in samples],
    )
