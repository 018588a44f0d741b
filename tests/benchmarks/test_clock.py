import os

import pytest

from benchmarks.clock import Reading, SystemClock, busy_seconds, others_seconds, tree_seconds

TICK = 1 / os.sysconf("SC_CLK_TCK")

# user nice system idle iowait irq softirq steal guest guest_nice
STAT = """cpu  1000 0 0 0 0 0 0 0 0 0
cpu0 100 20 30 4000 50 6 7 8 90 10
cpu1 1 0 0 9 0 0 0 0 0 0
cpu10 500 0 0 0 0 0 0 0 0 0
intr 1 2 3
"""


def test_a_core_is_busy_with_all_but_idling_and_waiting() -> None:
    # 100 + 20 + 30 + 6 + 7 + 8; guests are in user already.
    assert busy_seconds(STAT, {0}) == pytest.approx(171 * TICK)


def test_only_the_cores_that_we_may_use_count() -> None:
    assert busy_seconds(STAT, {0, 1}) == pytest.approx(172 * TICK)
    assert busy_seconds(STAT, {1}) == pytest.approx(1 * TICK)


def stat(pid: int, parent: int, name: str, *ticks: int) -> str:
    return f"{pid} ({name}) S {parent} " + " ".join(["0"] * 9) + " " + " ".join(map(str, ticks)) + " 20 0 1 0"


def test_a_process_counts_with_all_below_it_and_their_ended_children() -> None:
    stats = [
        stat(7, 1, "a name (with) brackets", 1, 2, 3, 4),
        stat(8, 7, "child", 10, 0, 0, 0),
        stat(9, 8, "grandchild", 100, 0, 0, 0),
        stat(10, 1, "a stranger", 1000, 0, 0, 0),
    ]
    assert tree_seconds(stats, 7) == pytest.approx(120 * TICK)
    assert tree_seconds(stats, 10) == pytest.approx(1000 * TICK)
    assert tree_seconds(stats, 99) == 0


def test_what_others_took_is_what_is_left() -> None:
    before, after = Reading(10.0, 100.0, 5.0), Reading(12.0, 103.5, 8.0)
    assert others_seconds(before, after) == pytest.approx(0.5)
    assert others_seconds(before, Reading(12.0, 102.0, 8.0)) == 0


@pytest.mark.skipif(not os.path.exists("/proc/stat"), reason="needs /proc")  # noqa: PTH110
def test_this_process_is_seen_at_work() -> None:
    clock = SystemClock()
    before = clock.read(os.getpid())
    while os.times().user - before.own < 0.1 and sum(range(10_000)):
        if clock.read(os.getpid()).own > before.own:
            break
    after = clock.read(os.getpid())
    assert after.own > before.own
    assert after.busy >= before.busy
    assert after.wall > before.wall
    assert clock.cores == len(os.sched_getaffinity(0))
