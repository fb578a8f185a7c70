"""Any interleaving, any duplicates, any crash: the join's table of rewards is the oracle's."""

from dataclasses import dataclass, field, replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.join import Decisions, Emitted, Interactions, Join, Output, Window
from tests.core.join.oracle import Decision, Interaction, counting, rewards, score

WINDOWS = [
    Window(wait=50, early_grace=5, hold=20, immediate=False, default=-1.0),
    Window(wait=30, early_grace=10, hold=0, immediate=True, default=0.25, observed=True),
]
END = 10_000


def evaluate(_application, raws, owner, decisions):
    values = [[] for _ in decisions]
    for raw, n in zip(raws, owner, strict=True):
        values[n].append(int(raw.split(b":")[-1]))
    return np.array([score(v) for v in values]), {"count": np.array([float(len(v)) for v in values])}


def decision_batch(items, start):
    return Decisions(
        ids=[d.id for d in items],
        applications=np.array([d.application for d in items]),
        deferred=np.array([d.deferred for d in items]),
        raws=[f"{d.body}:{d.id}".encode() for d in items],
        times=np.array([d.time for d in items]),
        offsets=np.arange(start, start + len(items)),
    )


def interaction_batch(items, start):
    return Interactions(
        ids=[i.id for i in items],
        decision_ids=[i.decision_id for i in items],
        applications=np.array([i.application for i in items]),
        activations=np.array([i.activation for i in items]),
        raws=[f"{i.id}:{i.decision_id}:{i.value}".encode() for i in items],
        times=np.array([i.time for i in items]),
        offsets=np.arange(start, start + len(items)),
    )


@dataclass
class Log:
    """The rewards topic and the bookkeeping that one transaction writes with it."""

    decisions: list[Decision]
    interactions: list[Interaction]
    table: dict[str, Emitted] = field(default_factory=dict)
    progress: tuple[int, int] = (0, 0)
    clocks: tuple[int, int] = (0, 0)
    watermark: tuple[int, int] = (0, 0)
    learnt: dict[str, float] = field(default_factory=dict)
    refused: list[tuple[str, int]] = field(default_factory=list)
    revisions: dict[str, list[int]] = field(default_factory=dict)
    heard: list[tuple[int, bytes, bytes]] = field(default_factory=list)

    def commit(self, join: Join, output: Output, progress: tuple[int, int]) -> None:
        for emission in output.emissions:
            for n, decision_id in enumerate(emission.decision_ids):
                reward, revision = float(emission.reward[n]), int(emission.revision[n])
                previous = self.learnt.get(decision_id, 0.0)
                assert emission.previous_reward[n] == previous
                before = self.table.get(decision_id)
                assert emission.was_default[n] == (before is not None and before.is_default)
                self.learnt[decision_id] = reward
                self.revisions.setdefault(decision_id, []).append(revision)
                self.table[decision_id] = Emitted(
                    reward, revision, bool(emission.is_default[n]), int(emission.decision_offset[n])
                )
        for heard in output.heard:
            pairs = zip(heard.decisions, heard.interactions, strict=True)
            self.heard += [(heard.application, *pair) for pair in pairs]
        self.refused += [(refusal.topic, refusal.offset) for refusal in output.refusals]
        mark = join.watermark(*progress)
        self.progress, self.watermark = progress, (mark.decisions, mark.interactions)
        self.clocks = (join.decisions_clock, join.interactions_clock)

    def reopen(self) -> Join:
        """A new process: state from the low watermark and the log's own output."""
        join = Join(WINDOWS, evaluate)
        (d, i), (d_end, i_end) = self.watermark, self.progress
        decisions, interactions = self.decisions[d:d_end], self.interactions[i:i_end]
        join.recover(
            decision_batch(decisions, d) if decisions else None,
            interaction_batch(interactions, i) if interactions else None,
        )
        join.settle(self.table, *self.clocks)
        return join


def play(log: Log, steps: list[tuple[int, int, bool]]) -> None:
    """Read both topics in the given portions; True crashes after that portion was computed but not written,
    and again after it was written."""
    join = log.reopen()
    for take_d, take_i, crash in [*steps, (END, END, False)]:
        d, i = log.progress
        decisions, interactions = log.decisions[d : d + take_d], log.interactions[i : i + take_i]
        batches = (
            decision_batch(decisions, d) if decisions else None,
            interaction_batch(interactions, i) if interactions else None,
        )
        if crash:
            join.step(*batches)
            join = log.reopen()
        log.commit(join, join.step(*batches), (d + len(decisions), i + len(interactions)))
        if crash:
            join = log.reopen()
    log.commit(join, join.step(None, None, END, END), log.progress)
    assert join.held == 0
    assert join.unmatched == 0
    assert join.state_bytes == 0


ids = st.integers(0, 7).map("d{}".format)
decision_lists = st.lists(
    st.builds(
        Decision, id=ids, time=st.integers(0, 200), application=st.integers(0, 1), deferred=st.booleans()
    ),
    max_size=12,
    unique_by=lambda d: d.id,
).map(lambda ds: sorted(ds, key=lambda d: d.time))
interaction_lists = st.lists(
    st.builds(
        Interaction,
        id=st.integers(0, 30).map("i{}".format),
        decision_id=ids,
        time=st.integers(0, 300),
        value=st.integers(-5, 5),
        application=st.integers(0, 1),
        activation=st.booleans(),
    ),
    max_size=25,
    unique_by=lambda i: (i.decision_id, i.id),
).map(lambda items: sorted(items, key=lambda i: i.time))
portions = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6), st.booleans()), max_size=15)


@settings(max_examples=600)
@given(decision_lists, interaction_lists, portions)
def test_every_interleaving_and_crash_ends_in_the_oracles_table(decisions, interactions, steps):
    log = Log(decisions, interactions)
    play(log, steps)
    table = {i: (e.reward, e.is_default) for i, e in log.table.items()}
    assert table == rewards(decisions, interactions, WINDOWS)
    assert all(revisions == list(range(len(revisions))) for revisions in log.revisions.values())


@settings(max_examples=300)
@given(decision_lists, interaction_lists, portions)
def test_a_crash_neither_repeats_nor_omits_a_refusal(decisions, interactions, steps):
    log, calm = Log(decisions, interactions), Log(decisions, interactions)
    play(log, steps)
    play(calm, [])
    assert sorted(log.refused) == sorted(calm.refused)


@settings(max_examples=200)
@given(decision_lists, interaction_lists, portions, st.randoms(use_true_random=False))
def test_copies_soon_after_their_original_change_nothing(decisions, interactions, steps, random):
    plain = Log(decisions, interactions)
    play(plain, steps)
    copied = Log(
        [d for original in decisions for d in [original] * random.randint(1, 2)],
        [i for original in interactions for i in [original] * random.randint(1, 2)],
    )
    play(copied, steps)
    assert {i: e.reward for i, e in copied.table.items()} == {i: e.reward for i, e in plain.table.items()}


@settings(max_examples=200)
@given(decision_lists, interaction_lists, portions)
def test_every_interaction_counts_once_or_is_refused(decisions, interactions, steps):
    decisions = [replace(d, deferred=False) for d in decisions]
    interactions = [replace(i, activation=False) for i in interactions]
    join, d, i = Join(WINDOWS, evaluate), 0, 0
    refused, counted = 0, {}
    for take_d, take_i, _ in [*steps, (END, END, False), (0, 0, True)]:
        some_d, some_i = decisions[d : d + take_d], interactions[i : i + take_i]
        batches = (
            decision_batch(some_d, d) if some_d else None,
            interaction_batch(some_i, i) if some_i else None,
        )
        d, i = d + len(some_d), i + len(some_i)
        over = END if d == len(decisions) and i == len(interactions) and not (take_d or take_i) else 0
        output = join.step(*batches, over, over)
        refused += len(output.refusals)
        for emission in output.emissions:
            counted.update(zip(emission.decision_ids, emission.interactions.tolist(), strict=True))
    assert sum(counted.values()) + refused == len(interactions)


@settings(max_examples=200)
@given(decision_lists, interaction_lists, portions)
def test_each_interaction_that_counts_is_told_once_beside_its_decision(decisions, interactions, steps):
    log = Log(decisions, interactions)
    play(log, steps)
    told = {n for n, window in enumerate(WINDOWS) if window.observed}
    expected = [
        (d.application, f"{d.body}:{d.id}".encode(), f"{i.id}:{i.decision_id}:{i.value}".encode())
        for d in decisions
        for i in counting(d, interactions, WINDOWS)
        if d.application in told and not i.activation
    ]
    assert sorted(log.heard) == sorted(expected)


def one(decision, *interactions, clock=END):
    join = Join(WINDOWS, evaluate)
    output = join.step(
        decision_batch([decision], 0), interaction_batch(list(interactions), 0) if interactions else None
    )
    return output, join.step(None, None, clock, clock)


def test_a_default_is_never_early():
    join = Join(WINDOWS, evaluate)
    join.step(decision_batch([Decision("d", 100)], 0), None)
    assert not join.step(None, None, 150, 150).emissions
    (emission,) = join.step(None, None, 151, 151).emissions
    assert emission.is_default.tolist() == [True]
    assert emission.reward.tolist() == [-1.0]


def test_a_late_interaction_corrects_while_the_decision_is_held():
    join = Join(WINDOWS, evaluate)
    join.step(decision_batch([Decision("d", 100)], 0), None, 151, 151)
    output = join.step(None, interaction_batch([Interaction("i", "d", 160, value=3)], 0))
    (emission,) = output.emissions
    assert (emission.reward[0], emission.previous_reward[0], emission.revision[0]) == (3.0, -1.0, 1)
    assert output.corrections[0] == 1
    late = join.step(None, interaction_batch([Interaction("j", "d", 171)], 1), END, END)
    assert [r.reason for r in late.refusals] == ["too-late"]


def test_the_same_id_with_another_body_is_refused_and_the_first_one_counts():
    output, last = one(Decision("d", 0), Interaction("i", "d", 1, value=2), Interaction("i", "d", 1, value=9))
    assert [r.reason for r in output.refusals] == ["interaction-conflict"]
    assert last.emissions[0].reward.tolist() == [2.0]
    join = Join(WINDOWS, evaluate)
    output = join.step(decision_batch([Decision("d", 0), Decision("d", 0, body="other")], 0))
    assert [r.reason for r in output.refusals] == ["decision-conflict"]


def test_an_interaction_without_decision_is_refused_once_none_can_come():
    join = Join(WINDOWS, evaluate)
    join.step(None, interaction_batch([Interaction("i", "d", 100), Interaction("j", "d", 105)], 0))
    assert not join.step(None, None, 110, 110).refusals
    assert [r.offset for r in join.step(None, None, 111, 111).refusals] == [0]
    output = join.step(decision_batch([Decision("d", 111)], 0), None, 170, 170)
    assert [r.reason for r in output.refusals] == ["too-early"]


def test_a_late_interaction_is_refused_though_a_crash_comes_before():
    decisions = [Decision("d", 0), Decision("e", 500)]
    log = Log(decisions, [Interaction("i", "d", 499)])
    play(log, [(1, 0, False), (1, 1, True)])
    assert log.refused == [("interactions", 0)]


def test_a_copy_of_a_decision_long_after_its_window_counts_nothing():
    copied = [Decision("d", 0), Decision("e", 900), Decision("d", 950)]
    join = Join(WINDOWS, evaluate, copies=1_000)
    outputs = [join.step(decision_batch([d], n), None, d.time, d.time) for n, d in enumerate(copied)]
    outputs.append(join.step(None, None, END, END))
    emitted = [i for output in outputs for emission in output.emissions for i in emission.decision_ids]
    assert sorted(emitted) == ["d", "e"]
    assert sum(output.duplicates["decisions"] for output in outputs) == 1


def test_a_reward_that_is_not_finite_is_refused_and_the_others_go_on():
    def infinite(application, raws, owner, decisions):
        values, components = evaluate(application, raws, owner, decisions)
        return np.where(values == 9, np.inf, values), components

    join = Join(WINDOWS, infinite)
    items = [Interaction("i", "bad", 1, value=9), Interaction("i", "good", 1, value=2)]
    output = join.step(
        decision_batch([Decision("bad", 0), Decision("good", 0)], 0), interaction_batch(items, 0), END, END
    )
    assert [r.reason for r in output.refusals] == ["reward-not-finite"]
    assert output.emissions[0].decision_ids == ["good"]


def test_a_deferred_decision_counts_only_once_activated():
    decision = replace(Decision("d", 0), deferred=True)
    output, last = one(decision, Interaction("i", "d", 1))
    assert not output.emissions
    assert not last.emissions
    assert last.filtered == {"decisions": 1, "interactions": 1}
    _, last = one(
        decision, Interaction("i", "d", 1, value=4), Interaction("$activation", "d", 2, activation=True)
    )
    assert last.emissions[0].reward.tolist() == [4.0]


def test_memory_is_given_back():
    join = Join(WINDOWS, evaluate)
    for n in range(200):
        now = n * 100
        decisions = [Decision(f"d{n}-{k}", now) for k in range(50)]
        interactions = [Interaction("i", d.id, now + 1) for d in decisions]
        join.step(decision_batch(decisions, n * 50), interaction_batch(interactions, n * 50))
    assert join.held <= 100
    assert len(join._decisions["raw"]) == 1024
    assert len(join._interactions._arrivals) <= 10_000
    mark = join.watermark(10_000, 10_000)
    assert mark.decisions >= 199 * 50 - 400
    assert len(join._interactions._arrivals) <= 100
