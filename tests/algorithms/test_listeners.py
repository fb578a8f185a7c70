"""What the recommender's algorithms learn of listeners."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shared.algorithms.artefacts import train as make
from shared.algorithms.contract import NotTrainable
from shared.algorithms.q_learning.declaration import Parameters
from shared.algorithms.q_learning.policy import TablePolicy
from shared.algorithms.q_learning.states import state_keys
from shared.algorithms.q_learning.table import QTable
from shared.algorithms.q_learning.train import train
from shared.algorithms.registry import algorithms
from shared.algorithms.simulated.entertainment import START_MS
from shared.algorithms.ucb.train import train as train_ucb
from shared.applications.entertainment.state import Context, read_state_settings
from tests.algorithms.listeners import dataset
from tests.algorithms.tiny.q_learning import table
from tests.algorithms.training import silent, tiny_parameters

WEEK_MS = 7 * 86_400_000
ACTIONS = ["a", "b"]


def learnt(steps: list[tuple[str, str, int, float]], **parameters: float) -> QTable:
    """Of (user, state, action, reward), a millisecond apart."""
    found = QTable.new(ACTIONS, Parameters(**{"min_interactions": 1, **parameters}))
    for i, (user, state, action, reward) in enumerate(steps):
        found.learn(user, (state, action, reward), (i, ""))
    return found


def test_an_update_is_watkins() -> None:
    found = learnt([("u", "x", 0, 1.0), ("u", "y", 1, 2.0), ("u", "x", 0, 0.0)]).served()
    x = 0.1 * 1.0
    y = 0.1 * (2.0 + 0.95 * x)
    x += 0.1 * (0.0 - x)
    assert found.values["x"] == pytest.approx([x, 0])
    assert found.values["y"] == pytest.approx([0, y])
    assert found.epsilon == pytest.approx(0.3 * 0.995**3)


def test_exploration_never_falls_below_its_floor() -> None:
    assert learnt([("u", "x", 0, 1.0)] * 1000).epsilon == 0.05


def test_a_user_counts_from_the_fifth_interaction_on_with_all_of_them() -> None:
    four = learnt([("u", "x", 0, 1.0)] * 4, min_interactions=5)
    assert four.served().updates == 0
    assert learnt([("u", "x", 0, 1.0)] * 5, min_interactions=5).served().updates == 5


def test_users_do_not_follow_one_another() -> None:
    found = learnt([("u", "x", 0, 0.0), ("v", "y", 0, 5.0), ("u", "x", 1, 0.0)])
    assert found.served().values["x"].tolist() == [0, 0]


def weeks(count: int = 3) -> pl.DataFrame:
    """The same listeners in several weeks, with other interactions."""
    parts = [
        table(400, seed).with_columns(
            pl.col("time") + seed * WEEK_MS, decision_id=pl.format("w{}-{}", pl.lit(seed), "decision_id")
        )
        for seed in range(count)
    ]
    return pl.concat(parts)


def test_week_by_week_is_the_same_as_all_at_once(tmp_path: Path) -> None:
    algorithm = algorithms()["q_learning"]
    every = tiny_parameters("q_learning", window_days=100)
    whole = make(algorithm, dataset(weeks()), every, 0, tmp_path / "whole", silent)
    previous = None
    for week in range(3):
        until = START_MS + (week + 1) * WEEK_MS
        part = weeks().filter(pl.col("time") < until).filter(pl.col("time") >= until - WEEK_MS)
        data = dataset(part, previous=previous)
        made = make(algorithm, data, tiny_parameters("q_learning"), 0, tmp_path / "weekly", silent)
        previous = made.folder
    for name in ("q_table.json", "policy.json"):
        assert made.file(name).read_bytes() == whole.file(name).read_bytes()
    assert made.manifest.previous is not None


def test_what_was_learnt_is_not_learnt_again(tmp_path: Path) -> None:
    algorithm, parameters = algorithms()["q_learning"], tiny_parameters("q_learning")
    once = make(algorithm, dataset(table()), parameters, 0, tmp_path, silent)
    twice = make(algorithm, dataset(table(), previous=once.folder), parameters, 0, tmp_path, silent)
    assert twice.file("q_table.json").read_bytes() == once.file("q_table.json").read_bytes()


def test_a_vector_gives_the_state_of_its_context() -> None:
    random = np.random.default_rng(0)
    settings = read_state_settings()
    borders = [0, 20, 40, 60, 80, 100, 19.99, 20.01]
    for _ in range(300):
        traits = random.choice([*borders, *random.uniform(0, 100, 8)], 5).tolist()
        names = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
        context = Context(
            **dict(zip(names, traits, strict=True)),
            content_type=str(random.choice(["music", "video", "game"])),
            mood=str(random.choice(["calm", "sad", "bored"])),
            hour=int(random.integers(24)),
        )
        assert state_keys(context.vector()[None], settings) == [settings.state(context)]


def test_unknown_states_are_met_without_preference() -> None:
    policy = TablePolicy(ACTIONS, 0.1, read_state_settings(), {"x": np.array([0.0, 1.0])})
    assert policy.of_states(["x", "other"]) == pytest.approx(np.array([[0.05, 0.95], [0.5, 0.5]]))


def test_ucb_tries_the_unvisited_first_then_the_uncertain(tmp_path: Path) -> None:
    first = table()["state"][0]
    base = table().head(1).with_columns(state=pl.lit(first), subject_id=pl.lit("u"))
    rows = [(0, 1.0)] * 50 + [(1, 0.9)] * 2
    frame = pl.concat(
        [
            base.with_columns(
                action=pl.lit(ACTIONS[action]),
                reward=pl.lit(reward),
                time=pl.lit(START_MS + i, pl.Int64),
                decision_id=pl.lit(f"d{i}"),
            )
            for i, (action, reward) in enumerate(rows)
        ]
    )
    for actions, wanted in ((ACTIONS, "b"), ([*ACTIONS, "c"], "c")):
        data = replace(dataset(frame), actions=actions)
        train_ucb(data, tiny_parameters("ucb"), 0, tmp_path, silent)
        policy = TablePolicy.load(tmp_path / "policy.json")
        assert policy.actions[int(policy.of_states([first]).argmax())] == wanted
    bound = 0.9 + 2 * np.sqrt(np.log(52) / 2)
    assert policy.scores[first][1] == pytest.approx(bound)


@pytest.mark.parametrize("name", ["q_learning", "ucb", "dqn", "actor_critic"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pl.lit("low_focused_mixed").alias("action"), "all are low_focused_mixed"),
        (pl.lit("loud").alias("action"), "loud: no actions of entertainment"),
        (pl.lit(0.5).alias("reward"), "all are 0.5"),
        (pl.lit(float("inf")).alias("reward"), "histories.reward: 800 values are NaN, infinite"),
        (pl.col("decision_id").alias("subject_id"), "5 interactions"),
    ],
)
def test_histories_that_teach_nothing_are_refused(
    name: str, change: pl.Expr, message: str, tmp_path: Path
) -> None:
    data = dataset(table().with_columns(change))
    with pytest.raises(NotTrainable, match=message):
        algorithms()[name].training().train(data, tiny_parameters(name), 0, tmp_path, silent)
    assert not list(tmp_path.iterdir())


def test_the_gates_tell_whether_enough_was_seen_and_liked(tmp_path: Path) -> None:
    frame = table().with_columns(pl.col("reward") + 1.0)
    few = train(dataset(frame), tiny_parameters("q_learning"), 0, tmp_path, silent)
    assert (few["interactions"], few["passes_gates"]) == (800, 0)
    enough = tiny_parameters("q_learning", gate_interactions=800)
    assert train(dataset(frame), enough, 0, tmp_path, silent)["passes_gates"] == 1
    assert train(dataset(table()), enough, 0, tmp_path, silent)["passes_gates"] == 0


def test_a_session_ends_when_its_user_stays_away() -> None:
    table = QTable.new(ACTIONS, Parameters(min_interactions=1, session_minutes=1, gamma=1))
    for minute, (user, state, reward) in enumerate([("u", "y", 4.0), ("v", "z", 0.0), ("u", "x", 1.0)]):
        table.learn(user, (state, 0, reward), (minute * 61_000, ""))
    # The user's first session was over: x is not what y led to, and y counts although nothing followed it.
    assert table.values["y"].tolist() == pytest.approx([0.4, 0])
    assert "x" not in table.values


def test_sessions_week_by_week_are_the_same_as_all_at_once(tmp_path: Path) -> None:
    parameters = Parameters(session_minutes=0.5, min_interactions=2)
    steps = list(table(200).select("subject_id", "state", "reward", "time").iter_rows())
    whole, part = QTable.new(ACTIONS, parameters), QTable.new(ACTIONS, parameters)
    for i, (user, state, reward, time) in enumerate(steps):
        whole.learn(user, (state, i % 2, reward), (time, ""))
        part.learn(user, (state, i % 2, reward), (time, ""))
        if i == 101:
            part.save(tmp_path / "half.json")
            part = QTable.load(tmp_path / "half.json", parameters)
    whole.save(tmp_path / "whole.json")
    part.save(tmp_path / "parts.json")
    assert (tmp_path / "whole.json").read_bytes() == (tmp_path / "parts.json").read_bytes()


def test_selection_by_bounds_serves_the_least_visited_of_equals(tmp_path: Path) -> None:
    parameters = tiny_parameters("q_learning", selection="ucb")
    train(dataset(table()), parameters, 0, tmp_path, silent)
    policy = TablePolicy.load(tmp_path / "policy.json")
    learnt_table = QTable.load(tmp_path / "q_table.json", parameters).served()
    state = max(learnt_table.visits, key=lambda name: learnt_table.visits[name].sum())
    visits, values = learnt_table.visits[state], learnt_table.values[state]
    if visits.min() == 0:
        assert (policy.scores[state][visits == 0] >= 1e9).all()
    seen = visits > 0
    wanted = values[seen] + 2 * np.sqrt(np.log(visits.sum()) / visits[seen])
    assert policy.scores[state][seen] == pytest.approx(wanted)
    assert policy.of_states([state]).min() == pytest.approx(0.05 / 27)
