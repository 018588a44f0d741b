"""How many processor cores the process really has."""

import os
from pathlib import Path

__all__ = ["default_threads", "usable_cores"]

_CGROUP = Path("/sys/fs/cgroup")


def default_threads() -> int:
    """Threads for a network on the processor: `OMP_NUM_THREADS` where it is set, else `usable_cores`."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(asked) if asked.isdecimal() and int(asked) > 0 else usable_cores()


def usable_cores(root: Path = _CGROUP) -> int:
    """The cores that the process may run on at once: those of its affinity, but no more than its container's quota.

    A container with a quota of two cores on a machine of 64 sees 64; with as many threads it would be stopped most of
    the time.

    Args:
        root: where control groups are mounted.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(root)
    # Half a core more is a thread that waits half of the time, and all others for it.
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def _quota(root: Path) -> float | None:
    """Processor time in cores, by version 2 or 1 of control groups; None = no limit, or none that can be read."""
    try:
        limit, _, period = (root / "cpu.max").read_text(encoding="ascii").strip().partition(" ")
    except (OSError, ValueError):
        try:
            limit = (root / "cpu" / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return None
    if not limit.isdecimal() or not period.isdecimal() or int(period) == 0:
        return None
    return int(limit) / int(period)
