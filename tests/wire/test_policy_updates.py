"""Policy updates: chunked snapshots and deltas rebuild the learner, whatever compaction has removed."""

import numpy as np
import pytest

from shared.core.features.scaling import Scaling
from shared.core.policies.configuration import PolicyConfiguration
from shared.core.policies.learner import Learner
from shared.wire import policy_updates
from shared.wire.codec import decode, encode
from shared.wire.policy_replicas import Replica, Replicas
from shared.wire.policy_updates import (
    DELTA_SLOTS,
    Keyed,
    Source,
    delta_record,
    progress_record,
    scaling_record,
    snapshot_records,
)
from shared.wire.schemas import schema

WIDTH, ACTIONS = 3, 4
NAME = ("shop", "default@1")
SOURCE = Source(*NAME, partition=0)


def untrained(track_deltas: bool = True) -> Learner:
    configuration = PolicyConfiguration(kind="linucb", map="linear", scaling_rows=20)
    return Learner(configuration, width=WIDTH, actions=ACTIONS, track_deltas=track_deltas)


def learn(learner: Learner, n: int, seed: int = 0) -> None:
    random = np.random.default_rng([seed, learner.learnt])
    learner.learn(
        random.normal(size=(n, WIDTH)),
        random.integers(ACTIONS, size=n),
        random.normal(size=n),
        np.ones(n),
        np.arange(n),
    )


def delta(learner: Learner, sequence: int, *, first: int) -> Keyed:
    drained = learner.drain_delta()
    assert drained is not None
    return delta_record(
        SOURCE,
        drained,
        sequence=sequence,
        first_offset=first,
        next_offset=learner.learnt,
        count=learner.learnt,
    )


def progress(partition: int, learnt: int) -> Keyed:
    return progress_record(partition, sequence=1, next_offset=learnt, learnt={NAME: learnt})


def replicas() -> Replicas:
    return Replicas({NAME: lambda: untrained(track_deltas=False)})


def read(records: list[Keyed], into: Replicas | None = None) -> Replica:
    """What a reader has who got these records off the wire."""
    into = into or replicas()
    for _, record in records:
        into.apply(decode(schema("policy-updates"), encode(schema("policy-updates"), record)))
    return into.policies[NAME]


def compacted(log: list[Keyed]) -> list[Keyed]:
    newest = {key: index for index, (key, _) in enumerate(log)}
    return [log[index] for index in sorted(newest.values())]


def log_of(learner: Learner, updates: int, snapshot_every: int) -> list[Keyed]:
    log: list[Keyed] = []
    for sequence in range(1, updates + 1):
        first = learner.learnt
        learn(learner, 5)
        if sequence == 3:
            proposed = learner.propose_scaling() or Scaling(np.zeros(WIDTH), np.ones(WIDTH))
            learner.set_scaling(proposed)
            log.append(scaling_record(SOURCE, proposed, sequence=sequence))
        log.append(delta(learner, sequence, first=first))
        if sequence % snapshot_every == 0:
            log += snapshot_records(SOURCE, learner, sequence=sequence, next_offset=learner.learnt)
        log.append(progress(0, learner.learnt))
    return log


@pytest.mark.parametrize("updates", [1, 40, 63, 64, 65, 130, 200])
def test_the_whole_log_and_its_compaction_rebuild_the_learner_to_the_bit(updates: int) -> None:
    learner = untrained()
    log = log_of(learner, updates, snapshot_every=30)
    for records in (log, compacted(log)):
        replica = read(records)
        assert replica.learners[0].to_bytes() == learner.to_bytes()
        assert replica.offsets == (learner.learnt,)
        assert not replica.partitions[0].behind
        assert replica.partitions[0].sequence == updates


def test_a_snapshot_counts_once_its_last_chunk_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_updates, "CHUNK_BYTES", 500)
    learner = untrained()
    learn(learner, 300)
    chunks = snapshot_records(SOURCE, learner, sequence=1, next_offset=300)
    assert len(chunks) > 3
    assert len({key for key, _ in chunks}) == len(chunks)
    into = replicas()
    replica = read(chunks[:-1], into)
    assert replica.offsets == (0,)
    assert replica.learners[0].learnt == 0
    read([chunks[-1]], into)
    assert replica.offsets == (300,)
    assert replica.learners[0].to_bytes() == learner.to_bytes()


def test_chunks_of_two_snapshots_are_never_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_updates, "CHUNK_BYTES", 500)
    learner = untrained()
    learn(learner, 300)
    old = snapshot_records(SOURCE, learner, sequence=1, next_offset=300)
    learn(learner, 1)
    new = snapshot_records(SOURCE, learner, sequence=2, next_offset=301)
    replica = read([*old[:1], *new[1:]])
    assert replica.learners[0].learnt == 0
    replica = read([*old[:1], *new])
    assert replica.learners[0].to_bytes() == learner.to_bytes()


def test_a_reader_with_a_gap_waits_for_a_snapshot_and_claims_nothing_meanwhile() -> None:
    learner = untrained()
    learn(learner, 5)
    missing = delta(learner, 1, first=0)
    learn(learner, 5)
    second = delta(learner, 2, first=5)
    into = replicas()
    replica = read([second, progress(0, 20)], into)
    assert replica.offsets == (0,)
    assert replica.partitions[0].behind
    read(snapshot_records(SOURCE, learner, sequence=3, next_offset=25), into)
    assert replica.offsets == (25,)
    assert replica.learners[0].learnt == 10
    read([missing, second], into)
    assert replica.learners[0].to_bytes() == learner.to_bytes()
    assert replica.offsets == (25,)


def test_progress_moves_the_offsets_of_the_policies_it_names_and_of_no_other_partition() -> None:
    into = replicas()
    assert into.apply(progress(2, 7)[1]) == {NAME}
    assert into.apply(progress(2, 7)[1]) == set()
    assert into.policies[NAME].offsets == (0, 0, 7)
    stranger = progress_record(2, sequence=2, next_offset=9, learnt={("shop", "default@2"): 9})
    assert into.apply(stranger[1]) == set()
    assert into.policies[NAME].offsets == (0, 0, 7)


def test_another_policy_is_passed_over_and_so_is_a_partition_that_is_not_wanted() -> None:
    learner = untrained()
    learn(learner, 5)
    other = Source("shop", "default@2", 0)
    into = Replicas({NAME: untrained}, partitions={1})
    for source in (other, SOURCE):
        for _, record in snapshot_records(source, learner, sequence=1, next_offset=5):
            assert into.apply(record) == set()
    assert into.policies[NAME].offsets == ()


def test_a_scaling_reaches_partitions_that_come_later_and_cannot_be_replaced() -> None:
    scaling = Scaling(np.arange(WIDTH) * 1.0, np.ones(WIDTH))
    into = replicas()
    replica = read([scaling_record(SOURCE, scaling, sequence=1)], into)
    assert replica.partition(3).learner.scaling == scaling
    other = Scaling(np.zeros(WIDTH), np.ones(WIDTH))
    with pytest.raises(ValueError, match="another scaling"):
        into.apply(scaling_record(SOURCE, other, sequence=2)[1])


def test_a_recovered_writer_goes_on_with_deltas_of_its_own_rows_only() -> None:
    learner = untrained()
    log = log_of(learner, 10, snapshot_every=4)
    into = Replicas({NAME: untrained}, track_deltas=True)
    recovered = read(log, into).learners[0]
    assert recovered.drain_delta() is None
    learn(recovered, 3)
    learn(learner, 3)
    assert recovered.drain_delta() == learner.drain_delta()


def test_a_snapshot_of_another_shape_is_refused() -> None:
    stranger = Learner(PolicyConfiguration(), width=WIDTH + 1, actions=ACTIONS)
    stranger.learn(np.zeros((1, WIDTH + 1)), np.zeros(1), np.zeros(1), np.ones(1), np.ones(1))
    with pytest.raises(ValueError, match="a snapshot of"):
        read(snapshot_records(SOURCE, stranger, sequence=1, next_offset=1))


def test_delta_keys_repeat_after_as_many_slots_as_compaction_keeps() -> None:
    assert SOURCE.key("delta", 1) == SOURCE.key("delta", 1 + DELTA_SLOTS) != SOURCE.key("delta", 2)
