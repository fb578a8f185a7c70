"""The rounds that the regret benchmark lets every library play are fair, and ours learns in them."""

from collections import Counter

import numpy as np
import pytest

from shared.cli.benchmarks.labelled_rows import SEPARATORS, load_rows
from shared.cli.benchmarks.peers.bandit_rounds import play
from shared.cli.benchmarks.peers.streamwheel_regret import Streamwheel
from shared.core.policies.configuration import PolicyConfiguration


class Witness:
    """Always chooses action 0 and notes at which round it learnt which."""

    def __init__(self):
        self.round, self.learnt = 0, {}

    def contexts(self, features):
        return list(range(len(features)))

    def choose(self, contexts):
        assert contexts[0] == self.round
        self.round += len(contexts)
        return [0] * len(contexts)

    def learn(self, contexts, actions, rewards):
        for context, reward in zip(contexts, rewards, strict=True):
            assert context not in self.learnt
            self.learnt[context] = (self.round, reward)


@pytest.mark.parametrize(("delay", "block"), [(0, 1), (0, 5), (7, 1), (7, 3)])
def test_rewards_are_learnt_once_in_order_and_never_before_their_time(delay, block):
    witness = Witness()
    classes = np.arange(40) % 4
    assert play(witness, np.zeros((40, 2)), classes, delay, block) == 0.25
    assert list(witness.learnt) == sorted(witness.learnt)
    assert len(witness.learnt) == 39 // block * block - delay
    for context, (learnt_at, reward) in witness.learnt.items():
        assert learnt_at - context > delay
        assert learnt_at - context <= delay + block
        assert reward == (classes[context] == 0)


@pytest.mark.parametrize(
    ("name", "shape", "actions"), [("satimage", (6435, 36), 6), ("optdigits", (5620, 64), 10)]
)
def test_rows_are_complete_and_an_order_is_a_permutation_of_its_seed(name, shape, actions):
    rows = load_rows(name)
    assert rows.features.shape == shape
    assert rows.actions == actions
    one, same, other = rows.shuffled(1), rows.shuffled(1), rows.shuffled(2)
    assert np.array_equal(one.features, same.features)
    assert not np.array_equal(one.classes, other.classes)
    assert Counter(one.classes.tolist()) == Counter(rows.classes.tolist())
    assert np.allclose(rows.standardised().std(axis=0), rows.features.std(axis=0) > 0)


@pytest.mark.parametrize("name", SEPARATORS)
def test_the_default_policy_learns_real_rows_within_a_thousand_rounds(name):
    rows = load_rows(name).shuffled(3)
    mean = play(
        Streamwheel(PolicyConfiguration(), rows.actions),
        rows.features[:1000],
        rows.classes[:1000],
        0,
        block=20,
    )
    assert mean > 0.6  # uniform: 0.17 and 0.10
