"""I5: probabilities of the policies, draws that anybody can repeat, arms and mixtures that are right."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
import polars as pl

from shared.algorithms.fetching import ArtefactCache
from shared.applications.contract import Application
from shared.applications.policies import policy_name
from shared.cli.audit.answers import Answer, Asked, trained_answers
from shared.cli.audit.history import History, read_history
from shared.cli.audit.online import Sample, Sampled
from shared.cli.audit.rows import Row, numbers_of, placement, wrong_answer, wrong_distribution, wrong_mixture
from shared.cli.audit.trained import Trained
from shared.cli.topic_log import Log
from shared.core.draw import draw, uniform
from shared.core.policies.resets import Reset
from shared.core.rollout.verify import (
    Arrangement,
    arrangement_of,
    impossible,
    same_policy,
    wrong_arm,
)
from shared.wire.columns import float_matrix

CLOCKS_MS = 10_000
"""How far the clocks of a deployer and of a decision API may be apart."""
OWN = re.compile(r".+@[0-9a-f]{16}")
"""How this platform names its online policies; trained ones are in the log. Others drew by themselves."""
LARGEST = 1 << 30
"""Bytes of an artefact that is fetched to be asked again: the most that decision APIs fetch by default."""
Tell = Callable[[str, str], None]
"""(decision id, what is wrong with it)."""
Resets = Mapping[str, Sequence[Sequence[Reset]]]
"""Of each application, those that the learner of each partition has done."""


class Propensities:
    """Holds batches of decisions against I5. `key` assigns subjects to arms; without it they are believed."""

    def __init__(
        self,
        applications: Mapping[str, Application],
        history: History,
        trained: Trained,
        key: bytes | None,
        tell: Tell,
        resets: Resets = MappingProxyType({}),
    ) -> None:
        self._applications, self._history, self._trained = applications, history, trained
        self._key, self._tell = key, tell
        self._samples = {
            name: Sample(application, resets.get(name, ())) for name, application in applications.items()
        }

    def see(self, frame: pl.DataFrame) -> None:
        """Check the next decisions."""
        for (name,), part in frame.group_by("application", maintain_order=True):
            application = self._applications.get(str(name))
            numeric = application is not None and application.vector_action is not None
            fields = Row._fields if numeric else Row._fields[:-1]  # only a vector's numbers are in attributes
            rows = (Row(*values) for values in part.select(fields).iter_rows())
            if application is None:
                for row in rows:
                    self._told(row, self._logged(row, list(row.actions)))
                continue
            contexts = _contexts(part, application)
            answers = _Batch(self._trained, contexts)
            for place, row in enumerate(rows):
                self._check(application, row, place, answers)

    def close(self, log: Log) -> None:
        """All decisions were seen: learn the online policies again that they name."""
        for sample in self._samples.values():
            for decision_id, problem in sample.problems(log):
                self._tell(decision_id, problem)

    def _check(self, application: Application, row: Row, place: int, answers: _Batch) -> None:
        names = list(row.actions) or application.actions
        resets = sum(map(len, self._samples[application.name].resets))
        problem = self._logged(row, names, resets)
        if problem or not self._own(row.policy):
            self._told(row, problem)
            return
        arrangement, problem = self._arranged(application, row)
        context = answers.contexts.get(place)
        if problem or context is None:  # a context that no application has is a dead letter
            self._told(row, problem)
            return
        numbers = numbers_of(application, row)
        asked = Asked(context, names, row.action_features)
        placed = placement(row)
        checks: list[tuple[str, Callable[[Sequence[Answer]], str | None]]] = [
            (row.policy, partial(wrong_answer, row, names, numbers))
        ]
        if placed is not None and arrangement is not None:
            other = arrangement.canary if row.arm == "stable" else arrangement.stable
            checks.append((other, partial(wrong_mixture, row, placed, numbers)))
        for policy, check in checks:
            self._told(row, self._answered(application, row, policy, asked, check, place, answers))

    def _answered(
        self,
        application: Application,
        row: Row,
        policy: str,
        asked: Asked,
        check: Callable[[Sequence[Answer]], str | None],
        place: int,
        answers: _Batch,
    ) -> str | None:
        """What is wrong, if that can be told at once: what the online policy answered is worked out later."""
        online = policy_name(application)
        if policy in self._history.artefacts:
            found = answers.of(policy, place, asked)
            wrong = f"{policy} cannot be asked again: {found}" if isinstance(found, str) else check(found)
            # Where stable cannot be had, the online policy stands in.
            if wrong is None or policy == row.policy or row.arm != "canary":
                return wrong
        elif not same_policy(policy, online):
            return None  # of a policy that the application had under other settings
        if row.policy != online and same_policy(row.policy, online):
            return None
        sample = self._samples[application.name]
        if sample.offer(row.decision_id):
            # The version is of the policy that decided, which of the two arms may be the other one.
            resets = row.policy_version - sum(row.policy_offsets) if row.policy == online else None
            sample.add(Sampled(row.decision_id, tuple(row.policy_offsets), asked, check, resets))
        return None

    def _arranged(self, application: Application, row: Row) -> tuple[Arrangement | None, str | None]:
        placed = placement(row)
        if placed is None:
            return None, None if row.arm is None else "its place in the rollout is told in part"
        if problem := impossible(placed):
            return None, problem
        known = self._history.arrangements.get(application.name, ())
        online = application.settings.policy.name
        found = arrangement_of(placed, known, online, row.decided_at + CLOCKS_MS)
        if found is None:
            return None, f"no deployment gave {row.policy} the arm {row.arm} with the share {row.share}"
        return found, None if self._key is None else wrong_arm(placed, found, self._key)

    def _logged(self, row: Row, names: Sequence[str], resets: int = 0) -> str | None:
        own = self._own(row.policy)
        problem = wrong_distribution(row, names, own=own)
        if own and not problem:
            drawn = names[draw(row.probabilities, uniform(row.decision_id, row.policy, row.policy_version))]
            if drawn != row.action:
                return f"drew {drawn!r} anew, logged is {row.action!r}"
            learnt = sum(row.policy_offsets)
            within = learnt <= row.policy_version <= learnt + resets
            if row.policy not in self._history.artefacts and not within:
                return f"policy_version is {row.policy_version}, its policy_offsets sum to {learnt}"
        return problem

    def _own(self, policy: str) -> bool:
        return policy in self._history.artefacts or OWN.fullmatch(policy) is not None

    def _told(self, row: Row, problem: str | None) -> None:
        if problem:
            self._tell(row.decision_id, problem)


@contextmanager
def propensities(
    log: Log, applications: Mapping[str, Application], key: bytes | None, tell: Tell, resets: Resets
) -> Iterator[Propensities]:
    """Checks against what the log says of rollouts; copies of artefacts last as long as the context."""
    history = read_history(log)
    with tempfile.TemporaryDirectory(prefix="streamwheel-artefacts-") as folder:
        trained = Trained(history.artefacts, ArtefactCache(Path(folder), LARGEST))
        yield Propensities(applications, history, trained, key, tell, resets)


class _Batch:
    """What trained policies answer to the contexts of one batch: each is asked once."""

    def __init__(self, trained: Trained, contexts: Mapping[int, np.ndarray]) -> None:
        self.contexts = contexts
        self._trained = trained
        self._rows: dict[str, Mapping[int, np.ndarray] | str] = {}

    def of(self, name: str, place: int, asked: Asked) -> list[Answer] | str:
        """All that a policy may have answered to a row, or why it cannot be told."""
        policy = self._trained.policy(name)
        if isinstance(policy, str):
            return policy
        if name not in self._rows:
            self._rows[name] = self._trained.rows(policy, self.contexts)
        rows = self._rows[name]
        return rows if isinstance(rows, str) else list(trained_answers(policy, asked, rows[place]))


def _contexts(part: pl.DataFrame, application: Application) -> dict[int, np.ndarray]:
    width = application.context_width
    fits = np.flatnonzero((part["context"].list.len() == width).to_numpy())
    matrix = float_matrix(part["context"][fits], width)
    return {int(place): row for place, row in zip(fits, matrix, strict=True) if np.isfinite(row).all()}
