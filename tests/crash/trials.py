"""One trial: begin a job, stop it at a chosen moment, go on until it is done, and compare with the undisturbed one."""

import itertools
import json
import random
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.crash.job import Job, prepare
from tests.crash.outcome import differences
from tests.crash.watch import PHASES

_HANGS = 240.0
"""Seconds after which a job that does not end is a failure."""
_PROMPT = 10.0
"""Seconds within which SIGTERM and Ctrl-C must end the job."""
_EXIT_CODES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}


@dataclass(frozen=True)
class Blow:
    """A signal at a moment.

    Attributes:
        signal: SIGKILL, SIGTERM or SIGINT.
        phase: in which phase.
        visit: the how manieth time that the job enters it, from 1.
        fraction: of the phase's time that has passed.
        ranks: which processes get it.
    """

    signal: signal.Signals
    phase: str
    visit: int
    fraction: float
    ranks: tuple[int, ...]


@dataclass(frozen=True)
class Result:
    """What became of a trial.

    Attributes:
        name: of the trial's folder, which stays where something is wrong.
        processes: of the job.
        signals: that were sent.
        aimed: phases that they were meant for.
        hit: phases in which they came; `done` where the job was over before.
        ranks: processes that got them.
        seconds: from the last signal to the end of the job.
        faults: what is wrong with the end; empty if all is well.
    """

    name: str
    processes: int
    signals: list[str]
    aimed: list[str]
    hit: list[str]
    ranks: list[tuple[int, ...]]
    seconds: list[float]
    faults: list[str]


class Bench:
    """Trials of one job, on one number of processes, in a scratch folder."""

    def __init__(self, scratch: Path, processes: int, seed: int) -> None:
        self.processes = processes
        self._base = scratch
        self._random = random.Random(f"{seed} {processes}")
        if not (scratch / "recipe.yaml").is_file():
            prepare(scratch)
        place = scratch / f"undisturbed-{processes}"
        codes = Job(scratch, place, processes).wait(_HANGS)
        if any(codes.values()):
            raise RuntimeError(f"the undisturbed job failed: {(place / 'messages.txt').read_text()[-2000:]}")
        self._undisturbed = place / "run"
        times = json.loads((place / "phases.json").read_text())
        self._seconds: dict[str, float] = times["seconds"]
        self._visits: dict[str, int] = times["visits"]

    def trials(self, number: signal.Signals, count: int) -> Iterator[Result]:
        """Trials until `count` signals came while the job ran, spread evenly over its phases.

        Every fourth trial has two: one of them comes to the job that goes on.
        """
        phases = [PHASES[turn % len(PHASES)] for turn in range(count)]
        for trial in itertools.count(1):
            if not phases or trial > 2 * count:
                return
            blows = [self._blow(number, phases.pop()) for _ in range(min(len(phases), 2 if trial % 4 == 0 else 1))]
            result = self._trial(f"{number.name}-{trial}", blows)
            phases += [blow.phase for blow, hit in zip(blows, result.hit, strict=True) if hit == "done"]
            yield result

    def _blow(self, number: signal.Signals, phase: str) -> Blow:
        everyone = tuple(range(self.processes))
        ranks = self._random.choice([everyone, *((rank,) for rank in everyone)] if len(everyone) > 1 else [everyone])
        return Blow(number, phase, self._random.randint(1, self._visits[phase]), self._random.random(), ranks)

    def _trial(self, name: str, blows: list[Blow]) -> Result:
        place = self._base / f"trial-{self.processes}-{name}"
        result = Result(name, self.processes, [], [], [], [], [], [])
        for blow in blows:
            self._strike(place, blow, result)
        for _ in range(2):
            codes = Job(self._base, place, self.processes).wait(_HANGS)
            if not any(codes.values()):
                break
        messages = (place / "messages.txt").read_text()
        if any(codes.values()):
            result.faults.append(f"does not go on: exit codes {codes}: {messages.strip().splitlines()[-1:]}")
        else:
            result.faults.extend(differences(self._undisturbed, place / "run"))
        if not result.faults:
            shutil.rmtree(place)
        return result

    def _strike(self, place: Path, blow: Blow, result: Result) -> None:
        job = Job(self._base, place, self.processes)
        while job.watch.visits(blow.phase) < blow.visit and job.alive():
            time.sleep(0.0005)
        until = time.monotonic() + blow.fraction * self._seconds[blow.phase] / self._visits[blow.phase]
        # A job that is quicker than the undisturbed one was is struck as it leaves the phase.
        while time.monotonic() < until and job.watch.phase == blow.phase and job.alive():
            time.sleep(0.0005)
        hit = job.watch.phase if job.alive() else "done"
        struck = time.monotonic()
        job.send(blow.signal, blow.ranks)
        codes = job.wait(_HANGS)
        seconds = time.monotonic() - struck
        result.signals.append(blow.signal.name)
        result.aimed.append(blow.phase)
        result.hit.append(hit)
        result.ranks.append(blow.ranks)
        result.seconds.append(round(seconds, 2))
        if hit == "done" or not any(codes.values()):
            return  # It came too late: the job had written everything.
        expected = _EXIT_CODES[blow.signal]
        if any(codes[rank] != expected for rank in blow.ranks):
            result.faults.append(f"{blow.signal.name} in {hit}: exit codes {codes}")
        if blow.signal != signal.SIGKILL and seconds > _PROMPT:
            result.faults.append(f"{blow.signal.name} in {hit}: {seconds:.1f} s to the end")
        if "bug:" in (said := job.messages.read_text()):
            result.faults.append(said[said.index("bug:") :].splitlines()[0])
