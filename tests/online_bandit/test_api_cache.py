"""What a decision API keeps on disk of policies, for a start without Kafka."""

import tracemalloc
from pathlib import Path

import numpy as np

from services.online_bandit.api.learnt import LearntPolicies
from shared.applications.policies import new_learner, policy_name
from shared.wire.codec import encode
from shared.wire.policy_updates import Source, snapshot_records
from shared.wire.schemas import schema
from tests.online_bandit.shop import large

ACTIONS, FEATURES, PARTITIONS, ROWS = 20, 60, 12, 50


def test_policies_are_kept_one_partition_after_the_other_and_come_back(tmp_path: Path) -> None:
    application = large(ACTIONS, FEATURES)
    random, name = np.random.default_rng(3), policy_name(application)
    updates: list[tuple[bytes | None, int]] = []
    for partition in range(PARTITIONS):
        learner = new_learner(application)
        contexts = random.standard_normal((ROWS, FEATURES)).astype(np.float32)
        actions, times = random.integers(0, ACTIONS, ROWS), np.full(ROWS, 1_000)
        learner.learn(contexts, actions, random.random(ROWS), np.ones(ROWS, bool), times)
        source = Source("large", name, partition)
        records = snapshot_records(source, learner, sequence=1, next_offset=ROWS)
        updates += [(encode(schema("policy-updates"), record), 5) for _, record in records]
    learnt = LearntPolicies({"large": application}, lambda: 7)
    assert learnt.absorb(updates) == ({"large"}, 0)
    path = tmp_path / "policies.cache"
    learnt.save(path)  # whatever is made once and kept
    tracemalloc.start()
    try:
        learnt.save(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < path.stat().st_size / 2
    again = LearntPolicies({"large": application}, lambda: 7)
    assert again.load(path, 5) == {"large"}
    untrained = again.untrained()["large"]
    assert again.solved("large", untrained).offsets == (ROWS,) * PARTITIONS
    np.testing.assert_array_equal(
        again.solved("large", untrained).model.coefficients,
        learnt.solved("large", untrained).model.coefficients,
    )
