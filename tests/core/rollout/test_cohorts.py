"""Cohorts against a brute-force reading of the same log of rewards."""

import numpy as np
import pytest

from shared.core.rollout.arms import bucket
from shared.core.rollout.cohorts import KEPT_MS, Cohorts, Revision

WAIT, HOLD = 1_000, 500


def log(seed, decisions=300, revisions=3):
    """(partition, append time, revision) in log order: rewards with corrections, some without a component."""
    random = np.random.default_rng(seed)
    rows = []
    for n in range(decisions):
        decided, previous = int(random.integers(0, 20_000)), 0.0
        arm = "canary" if random.random() < 0.3 else "stable"
        for number in range(int(random.integers(1, revisions + 1))):
            reward, margin = float(random.normal()), float(random.normal()) if random.random() < 0.9 else None
            appended = decided + (WAIT if number == 0 else WAIT + int(random.integers(0, HOLD)))
            row = Revision(f"d-{n}", arm, bucket(f"s-{n % 40}"), decided, number, (reward, margin), previous)
            rows.append((n % 4, appended, row))
            previous = reward
    return sorted(rows, key=lambda row: (row[1], row[2].decision_id, row[2].revision))


def brute(rows, until=None):
    """Mean, its variance and count of both metrics of each arm, over each decision's latest revision."""
    latest = {}
    for _, _, row in rows:
        if until is None or row.decision_time + WAIT + HOLD <= until:
            known = latest.get(row.decision_id)
            if known is None or row.revision > known.revision:
                latest[row.decision_id] = row
    found = {}
    for arm in ("stable", "canary"):
        for metric in (0, 1):
            groups = {}
            for row in latest.values():
                if row.arm == arm and row.values[metric] is not None:
                    groups.setdefault(row.group, []).append(row.values[metric])
            total = sum(map(len, groups.values()))
            mean = sum(map(sum, groups.values())) / total
            spread = sum((sum(each) - mean * len(each)) ** 2 for each in groups.values())
            found[arm, metric] = (mean, spread / total**2 * len(groups) / (len(groups) - 1), total)
    return found


def taken(rows, revised, end):
    cohorts = Cohorts(2, WAIT, HOLD, revised)
    for partition, appended, row in rows:
        cohorts.take(partition, row)
        cohorts.advance(partition, appended)
    for partition in range(4):
        cohorts.advance(partition, end)
    return cohorts


def check(cohorts, wanted):
    for (arm, metric), expected in wanted.items():
        mean = cohorts.arms[arm].mean(metric)
        assert (mean.value, mean.variance, mean.count) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_each_decision_counts_once_at_its_latest_revision(seed):
    rows = log(seed)
    check(taken(rows, False, 0), brute(rows))
    check(taken(rows, True, 10**6), brute(rows))


def test_copies_and_older_revisions_change_nothing():
    rows = log(1)
    twice = [row for row in rows for _ in range(2)]
    again = sorted(rows * 2, key=lambda row: row[1])
    for each in (twice, again):
        check(taken(each, False, 0), brute(rows))


def test_rewards_that_may_still_be_corrected_count_only_where_they_come_when_windows_close():
    rows, now = [row for row in log(2) if row[1] <= 12_000], 12_000
    cohorts = taken(rows, True, now)
    check(cohorts, brute(rows, now))
    assert sum(arm.count for arm in cohorts.arms.values()) < len({row.decision_id for _, _, row in rows})


def test_what_no_revision_can_reach_is_forgotten_and_its_late_correction_still_adds_up():
    cohorts = Cohorts(1, WAIT, HOLD, False)
    for n in range(2):
        cohorts.take(0, Revision(f"d-{n}", "canary", n, 0, 0, (1.0,)))
    assert cohorts.remembered == 2
    cohorts.advance(0, WAIT + HOLD + KEPT_MS - 1)
    assert cohorts.remembered == 2
    cohorts.advance(0, WAIT + HOLD + KEPT_MS + 1)
    assert cohorts.remembered == 0
    cohorts.take(0, Revision("d-1", "canary", 1, 0, 1, (4.0,), previous_reward=1.0))
    assert (cohorts.arms["canary"].mean(0).value, cohorts.arms["canary"].count) == (2.5, 2)
    assert cohorts.remembered == 0


def test_partitions_have_clocks_of_their_own():
    cohorts = Cohorts(1, WAIT, HOLD, True)
    cohorts.take(0, Revision("a", "canary", 1, 0, 0, (1.0,)))
    cohorts.take(1, Revision("b", "canary", 2, 0, 0, (3.0,)))
    cohorts.advance(0, WAIT + HOLD)
    assert cohorts.arms["canary"].count == 1
    cohorts.take(1, Revision("b", "canary", 2, 0, 1, (5.0,)))
    cohorts.advance(1, WAIT + HOLD)
    assert cohorts.arms["canary"].mean(0).value == 3.0
