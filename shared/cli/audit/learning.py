"""The statistics that a learner must have, summed anew from the rewards with plain numpy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shared.applications.contract import Application
from shared.applications.policies import new_learner, policy_name
from shared.cli.topic_log import Log
from shared.core.features.maps import feature_map
from shared.core.policies.resets import Reset
from shared.core.policies.rows import Rows
from shared.core.policies.statistics import Statistics
from shared.wire.codec import WireError, decode
from shared.wire.columns import float_matrix
from shared.wire.policy_replicas import PartitionReplica, Replicas
from shared.wire.schemas import schema

TOPIC = "policy-updates"
TOLERANCE = 1e-9


def read_replicas(log: Log, applications: Mapping[str, Application]) -> Replicas:
    """What learners have published for the applications' policies; broken updates are skipped."""
    replicas = Replicas(
        {
            (name, policy_name(application)): partial(new_learner, application)
            for name, application in applications.items()
        }
    )
    for records in log.read(TOPIC, 0):
        for value in records.values:
            try:
                replicas.apply(decode(schema(TOPIC), value))
            except (WireError, ValueError):
                continue
    return replicas


def resets_done(replicas: Replicas) -> dict[str, list[tuple[Reset, ...]]]:
    """Of each application the resets of arms that the learner of each partition has done."""
    found: dict[str, list[tuple[Reset, ...]]] = {}
    for (name, _), replica in replicas.policies.items():
        known = replica.partitions
        numbers = range(max(known, default=-1) + 1)
        found[name] = [known[n].learner.resets if n in known else () for n in numbers]
    return found


def learnable(application: Application, frame: pl.DataFrame) -> Rows:
    """A learner's rows for the reward records in `frame` of this application that can be learnt."""
    return placed(application, frame)[0]


def placed(application: Application, frame: pl.DataFrame) -> tuple[Rows, NDArray[np.int64]]:
    """The same, and where in the frame they stand."""
    own = (frame["decision"].struct.field("application") == application.name).to_numpy()
    frame = frame.filter(own)
    decision = frame["decision"].struct.unnest()
    fits = (decision["context"].list.len() == application.context_width).to_numpy()
    if application.action_width:
        features, known = _chosen_features(application, decision)
        actions = np.zeros(len(frame), np.int64)
    else:
        order = {name: index for index, name in enumerate(application.actions)}
        actions = decision["action"].replace_strict(order, default=-1, return_dtype=pl.Int64).to_numpy()
        features, known = np.zeros((len(frame), 0), np.float32), actions >= 0
    keep = fits & known
    contexts = float_matrix(decision.filter(keep)["context"], application.context_width)
    rows = Rows.of(
        np.concatenate([contexts, features[keep]], axis=1),
        actions[keep],
        (frame["reward"] - frame["previous_reward"]).to_numpy()[keep],
        (frame["revision"] == 0).to_numpy()[keep],
        frame["decision_time"].to_numpy()[keep],
    )
    return rows, np.flatnonzero(own)[keep]


def _chosen_features(
    application: Application, decision: pl.DataFrame
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    width = application.action_width
    found, known = np.zeros((len(decision), width), np.float32), np.zeros(len(decision), bool)
    columns = decision.select("action", "actions", "action_features").iter_rows()
    for row, (action, actions, features) in enumerate(columns):
        if action in actions and len(features) == len(actions) * width:
            start = actions.index(action) * width
            found[row], known[row] = features[start : start + width], True
    return found, known


class Offline:
    """Sums over the rewards of one partition that a published learner says it has learnt."""

    def __init__(self, application: Application, replica: PartitionReplica) -> None:
        learner = replica.learner
        self.next_offset = replica.next_offset
        self._application, self.learner = application, learner
        self._map = feature_map(learner.configuration, learner.width, learner.action_width, learner.scaling)
        self._learnt, self._rewards = 0, 0.0
        half_life = learner.folded.half_life_ms
        self._published: Statistics | None = learner.statistics if self._map else None
        latest = self._published.latest_ms if self._published else 0
        # Both sides are compared at a time that statistics can be discounted to exactly.
        self._reference = 64 * latest // half_life if half_life else 0
        self._sums = Statistics(learner.actions, learner.folded.size)
        self._since = np.zeros(learner.actions, np.int64)
        for reset in learner.resets:
            self._since[reset.action] = max(self._since[reset.action], reset.since_ms)
            self._sums.rows[reset.action] += 1

    def add(self, frame: pl.DataFrame, offsets: NDArray[np.int64]) -> None:
        """Take the next reward records, which stand at `offsets`."""
        rows = learnable(self._application, frame.filter(offsets < self.next_offset))
        self._learnt += len(rows)
        self._rewards += float(rows.rewards.sum())
        if self._map is None or not len(rows):
            return
        features, weights, sums = self._map(rows.contexts), self._weights(rows.times), self._sums
        for action in np.unique(rows.actions).tolist():
            of_action = rows.actions == action
            sums.rows[action] += int(of_action.sum())
            of_action &= rows.times >= self._since[action]
            fresh = of_action & (rows.fresh == 1)
            sums.curvature[action] += (features[fresh] * weights[fresh, None]).T @ features[fresh]
            sums.moment[action] += (weights * rows.rewards)[of_action] @ features[of_action]
            sums.count[action] += weights[fresh].sum()

    def difference(self) -> str | None:
        """What of the published learner is not as the rewards have it, in words."""
        learnt = self.learner.learnt - len(self.learner.resets)
        if learnt != self._learnt:
            return f"{learnt} rewards are learnt, the log has {self._learnt}"
        if self._published is None:
            pending = float(self.learner.open_rows.rewards.sum())
            return None if _close(pending, self._rewards) else f"pending rewards sum to {pending}"
        factor = self._published.factor(self._reference)
        for name in ("curvature", "moment", "count", "rows"):
            found, wanted = getattr(self._published, name), getattr(self._sums, name)
            if not _close(found if name == "rows" else found * factor, wanted):
                return f"the learner's {name} is not the sum over the rewards"
        return None

    def _weights(self, times: NDArray[np.int64]) -> NDArray[np.float64]:
        half_life = self.learner.folded.half_life_ms
        if not half_life:
            return np.ones(len(times))
        weights: NDArray[np.float64] = np.exp2(times / half_life - self._reference / 64)
        return weights


def _close(found: Any, wanted: Any) -> bool:
    scale = float(np.abs(wanted).max(initial=1.0))
    return bool(np.allclose(found, wanted, rtol=TOLERANCE, atol=TOLERANCE * scale))
