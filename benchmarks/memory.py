"""(e) The most memory that each candidate's process holds, from its start and while it works."""

from statistics import median

from benchmarks import networks, tagging
from benchmarks.comparison import Row, Settings, Spec, Table
from benchmarks.models import NAMES
from benchmarks.process import MissingError, Process

__all__ = ["measure"]

_MEGA = 2**20
_CALLS = 2


def measure(settings: Settings) -> list[Table]:
    """For each network: it alone with batches of 16, and from files to tags."""
    tables = []
    for name in settings.networks:
        cores = settings.clock.cores
        alone = networks.eager_specs(name, 16, settings, threads=[cores]) + networks.candidates(name, 16, settings)
        if not settings.quick:
            tables.append(_table(f"{NAMES[name]}, batches of 16", alone, settings))
        loops = [
            spec
            for spec in tagging.plain_specs(name, settings)
            if spec.arguments["threads"] == cores and spec.arguments["batch"] == 16
        ]
        tables.append(
            _table(
                f"{NAMES[name]}: JPEG files to a table of tags", loops + tagging.gingham_specs(name, settings), settings
            )
        )
    return tables


def _table(title: str, specs: list[Spec], settings: Settings) -> Table:
    """The first is the baseline."""
    missing: dict[str, str] = {}
    peaks: dict[str, list[float]] = {}
    working: dict[str, list[float]] = {}
    for _ in range(1 if settings.quick else 3):
        for spec in specs:
            if spec.name in missing:
                continue
            try:
                whole, later = _peaks(spec)
            except MissingError as failure:
                missing[spec.name] = str(failure)
                continue
            peaks.setdefault(spec.name, []).append(whole / _MEGA)
            working.setdefault(spec.name, []).append(later / _MEGA)
        settings.say(f"  {title}: {len(peaks)} measured")
    base = specs[0].name
    if base in missing:
        raise MissingError(f"the baseline {base}: {missing[base]}")
    rows = [
        Row(
            name=name,
            values=values,
            ratios=[one / other for one, other in zip(values, peaks[base], strict=True)],
            cells={"while it works": f"{median(working[name]):,.0f} MB"},
        )
        for name, values in peaks.items()
        if name not in missing
    ]
    notes = ["Each process from its start, and after a first portion of work; its workers' memory is added to its own."]
    return Table(title=title, baseline=base, unit="MB", rows=rows, missing=missing, notes=notes)


def _peaks(spec: Spec) -> tuple[int, int]:
    """Bytes from the start, and while it works. Raises `MissingError`."""
    if spec.absent:
        raise MissingError(spec.absent)
    with Process(spec.name, spec.factory, spec.arguments, spec.environment) as process:
        process.run(1)
        whole = process.peak()
        process.forget_peak()
        process.run(_CALLS)
        later = process.peak()
        return max(whole, later), later
