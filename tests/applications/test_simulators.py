"""Every simulator: the same seed plays the same, the loop takes what it says, its truth is what happens."""

from collections.abc import Iterator
from itertools import islice, pairwise

import numpy as np
import pytest

from services.collector.handlers import Rules, interactions
from services.collector.settings import CollectorSettings
from shared.applications.contract import Numbers
from shared.applications.dashboard_widgets.entries import rated, read_entry, read_rating
from shared.applications.dashboard_widgets.pairs import fixture_pairs, widget_pairs
from shared.applications.dashboard_widgets.simulator import WidgetSimulator
from shared.applications.entertainment.application import Entertainment
from shared.applications.entertainment.listeners import MOOD_LADDER
from shared.applications.entertainment.simulator import SESSION, EntertainmentSimulator
from shared.applications.entertainment.state import Context
from shared.applications.entertainment.strategies import read_strategies
from shared.applications.registry import load
from shared.applications.search_ranking.log import read_log
from shared.applications.search_ranking.simulator import SearchSimulator
from shared.applications.search_ranking.state import read_state
from shared.applications.simulation import (
    Policy,
    Simulator,
    Situation,
    Told,
    load_simulator,
    simulated,
    uniform,
)
from shared.applications.voice_assistant.signals import read_feedback
from shared.applications.voice_assistant.simulator import VoiceSimulator
from tests.applications.rewards import row, together

APPLICATIONS = load()
RULES = Rules(APPLICATIONS, CollectorSettings())
every_simulator = pytest.mark.parametrize("name", simulated())


def greedy(simulator: Simulator) -> Policy:
    """Always the action of the highest mean reward."""

    def choose(situation: Situation) -> Numbers:
        rewards = [simulator.expected_reward(situation, action) for action in simulator.actions]
        return np.eye(len(rewards))[int(np.argmax(rewards))]

    return choose


def play(simulator: Simulator, policy: Policy, seed: int) -> Iterator[tuple[Situation, str, list[Told]]]:
    random = np.random.default_rng(seed)
    situation: Situation | None = None
    while True:
        situation = situation or simulator.start(random)
        action = str(random.choice(simulator.actions, p=np.asarray(policy(situation))))
        told, following = simulator.follow(situation, action, random)
        yield situation, action, told
        situation = following


def rewards_of(name: str, told: list[list[Told]]) -> Numbers:
    groups = [
        [row(each["type"], each.get("value"), **each.get("attributes", {})) for each in one] for one in told
    ]
    return together(APPLICATIONS[name], groups).reward


def test_every_application_with_code_has_a_simulator() -> None:
    assert simulated() == sorted(APPLICATIONS.keys() - {"optdigits"})
    with pytest.raises(KeyError, match="optdigits"):
        load_simulator("optdigits")


@every_simulator
def test_the_same_seeds_play_the_same(name: str) -> None:
    def first(seed: int, play_seed: int = 5) -> list[tuple[Situation, str, list[Told]]]:
        simulator = load_simulator(name, seed)
        return list(islice(play(simulator, uniform(simulator), play_seed), 50))

    assert first(1) == first(1)
    assert first(1) != first(1, 6)


@every_simulator
def test_the_loop_takes_what_a_simulator_says(name: str) -> None:
    simulator, application = load_simulator(name), APPLICATIONS[name]
    assert simulator.application == name
    assert simulator.actions == application.actions
    for situation, _, told in islice(play(simulator, uniform(simulator), 0), 100):
        assert application.featurise(situation.context).shape == (application.context_width,)
        application.attributes(situation.context)
        assert told
        body = [{**each, "decision_id": "d", "application": name} for each in told]
        assert len(interactions({"interactions": body}, RULES, 0, lambda: "i")) == len(told)


@every_simulator
def test_mean_rewards_are_those_of_many_plays(name: str) -> None:
    simulator = load_simulator(name)
    for policy in (uniform(simulator), greedy(simulator)):
        played = list(islice(play(simulator, policy, 2), 4000))
        rewards = rewards_of(name, [told for _, _, told in played])
        expected = np.array([simulator.expected_reward(s, a) for s, a, _ in played])
        error = rewards.std() / np.sqrt(len(rewards))
        assert abs(rewards.mean() - expected.mean()) < 4 * error
        assert abs(rewards.mean() - simulator.mean_reward(policy)) < 5 * error


@every_simulator
def test_the_optimum_is_reached_and_not_surpassed(name: str) -> None:
    simulator = load_simulator(name)
    optimum = simulator.optimal_mean_reward()
    assert simulator.mean_reward(greedy(simulator)) == pytest.approx(optimum)
    assert simulator.mean_reward(uniform(simulator)) < optimum - 0.2
    random = np.random.default_rng(0)
    for _ in range(5):
        fixed = random.dirichlet(np.ones(len(simulator.actions)))
        assert simulator.mean_reward(lambda _, fixed=fixed: fixed) < optimum  # type: ignore[misc]


def test_calls_are_feedback_and_every_combination_has_its_reward() -> None:
    simulator = load_simulator("voice_assistant", 3)
    assert isinstance(simulator, VoiceSimulator)
    grid = simulator.variants.grid()
    truths = [simulator.reward_of(slots) for slots in grid]
    assert max(truths) == simulator.reward_of(simulator.best())
    assert -1 <= min(truths) < max(truths) <= 1
    for slots in grid:
        assert 0 < simulator.quality(slots, "it") < 1
    assert simulator.effects != load_simulator("voice_assistant", 4).effects  # type: ignore[attr-defined]
    lines = list(simulator.events(200, np.random.default_rng(0), used={"v7z": simulator.best()}))
    assert [read_feedback(line) for line in lines]
    assert {line["policy_variant"] for line in lines} == {"v7z"}
    signals = [APPLICATIONS["voice_assistant"].read_line(line) for line in lines]
    assert together(APPLICATIONS["voice_assistant"], signals).reward.mean() == pytest.approx(
        max(truths), abs=0.1
    )


def test_listeners_stay_for_a_session_and_narrow_ones_have_few_states() -> None:
    recommender = APPLICATIONS["entertainment"]
    assert isinstance(recommender, Entertainment)
    for narrow, most in ((True, 12), (False, 10_000)):
        simulator = EntertainmentSimulator(read_strategies(), 0, narrow)
        events = list(simulator.histories(60, uniform(simulator), np.random.default_rng(0)))
        assert len(events) == 60 * SESSION
        for start in range(0, len(events), SESSION):
            session = events[start : start + SESSION]
            assert len({each.situation.subject_id for each in session}) == 1
            assert [each.situation.step for each in session] == list(range(SESSION))
            for before, after in pairwise(session):
                assert after.situation.context["mood"] == before.told["attributes"]["mood_after"]
        states = {recommender.states.state(Context(**each.situation.context)) for each in events}
        assert len(MOOD_LADDER) < len(states) <= most
        assert narrow or len(states) > 12


def test_searches_are_lines_of_the_log() -> None:
    simulator = load_simulator("search_ranking")
    assert isinstance(simulator, SearchSimulator)
    lines = list(simulator.logs(300, np.random.default_rng(0)))
    for line in lines:
        read_log(line)
        read_state(line["state"])
    assert {line["outcomes"]["user_action"] for line in lines} == {"purchase", "cart", "click", "none"}


def test_no_weights_are_better_than_those_that_suit_a_kind() -> None:
    simulator = load_simulator("search_ranking")
    assert isinstance(simulator, SearchSimulator)
    best = simulator.best_mean_reward_of_weights()
    random = np.random.default_rng(0)
    assert best > simulator.optimal_mean_reward() + 0.5
    for scale in (0.01, 0.1, 1.0):
        for _ in range(10):
            assert best > simulator.mean_reward_of_weights(
                lambda situations, scale=scale: (  # type: ignore[misc]
                    simulator.best_weights[[each.truth for each in situations]]
                    + scale * random.random((len(situations), 7))
                )
            )


def test_widgets_are_entries_with_ratings_that_make_pairs() -> None:
    simulator = load_simulator("dashboard_widgets")
    assert isinstance(simulator, WidgetSimulator)
    lines = list(simulator.shown(100, 12, np.random.default_rng(0)))
    found = rated([read_entry(entry) for entry, _ in lines], [read_rating(rating) for _, rating in lines])
    assert len(found) == len(lines)
    assert len(list(widget_pairs(found))) >= 50
    assert list(fixture_pairs(found))
