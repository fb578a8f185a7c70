"""Requests and served policies to choices: exact probabilities, and the draw that belongs to the id."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from services.online_bandit.api.arms import ONLINE, Arms, Split
from services.online_bandit.api.requests import Asked
from services.online_bandit.api.served import ServedPolicy
from services.online_bandit.api.traffic import allotted
from services.online_bandit.api.trained import Distribution, Row, TrainedPolicy
from shared.core.draw import draw, uniform
from shared.wire.rollouts import Arm


class Decides(Protocol):
    """What a decision says of the policy that made it."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...

    @property
    def offsets(self) -> tuple[int, ...]: ...


class Placed(NamedTuple):
    """A decision's place in a rollout."""

    arm: Arm
    share: float
    """Of subjects, that the arm has."""
    mixture_propensity: float
    """The action's probability over the draw of the arm as well."""
    online: tuple[int, ...] = ()
    """Offsets of the online policy where it is the other arm: without them the mixture is nothing that others
    can compute again."""


class Choice(NamedTuple):
    """What was decided, by which policy and with which probabilities."""

    decision_id: str
    policy: Decides
    chosen: int
    """Index into `names`."""
    names: list[str]
    every: bool
    """Whether `names` is the application's full list."""
    row: Row
    probabilities: list[float]
    """`row` as Python numbers."""
    vector: tuple[float, ...] = ()
    """The numbers of a vector action."""
    placed: Placed | None = None
    """None outside of a rollout."""
    replaced: str = ""
    """Why the online policy decided what another should have."""

    @property
    def action(self) -> str:
        """The chosen action."""
        return self.names[self.chosen]

    @property
    def propensity(self) -> float:
        """Its probability."""
        return self.probabilities[self.chosen]

    @property
    def offsets(self) -> tuple[int, ...]:
        """How much the online policy had learnt, if it is in one of the arms."""
        return self.policy.offsets or (self.placed.online if self.placed else ())


class _Answers(NamedTuple):
    """Of one arm: who answers, and what, for each request; and why there is none where there is none."""

    policy: Decides
    found: Sequence[Distribution | None]
    why: str = ""


class Timed(Protocol):
    """Measures how long an arm's policy takes to answer."""

    def __call__(self, arm: Arm, answer: Callable[[], _Answers]) -> _Answers: ...


def _untimed(arm: Arm, answer: Callable[[], _Answers]) -> _Answers:
    return answer()


def decide(
    policy: ServedPolicy, asked: Asked, decision_id: str, arms: Arms = ONLINE, timed: Timed = _untimed
) -> Choice:
    """The choice for one request; `policy` is the online policy. Arms are `timed` unless that decides all."""
    if arms.plain:
        return _drawn(policy, decision_id, _own(policy, asked))
    return decide_many(policy, [asked], [decision_id], arms, timed)[0]


def decide_many(
    policy: ServedPolicy,
    asked: Sequence[Asked],
    ids: Sequence[str],
    arms: Arms = ONLINE,
    timed: Timed = _untimed,
) -> list[Choice]:
    """The choices for requests of one application, with one pass through each model where they allow it."""
    split, timed = arms.split, _untimed if arms.plain else timed
    stable = timed("stable", lambda: _answers(policy, arms.stable, asked))
    canary = None
    if split is not None:
        trained = split.canary
        canary = timed("canary", lambda: _answers(policy, trained, asked))
    choices = []
    for index, (one, identifier) in enumerate(zip(asked, ids, strict=True)):
        mine = stable.found[index]
        if split is not None and canary is not None:
            both = mine, canary.found[index]
            choice = _of_rollout(identifier, split, one.subject_id, (stable.policy, canary.policy), both)
        else:
            choice = None if mine is None else _drawn(stable.policy, identifier, mine)
        if choice is None:
            why = stable.why or (canary.why if canary else "") or "no distribution for this request"
            choice = _drawn(policy, identifier, _own(policy, one))._replace(replaced=why)
        choices.append(choice)
    return choices


def _of_rollout(
    decision_id: str,
    split: Split,
    subject: str,
    policies: tuple[Decides, Decides],
    found: tuple[Distribution | None, Distribution | None],
) -> Choice | None:
    """The choice of the subject's arm; None unless both arms have an answer. Stable stands first."""
    arm = split.arm(subject)
    own, other = found if arm == "stable" else found[::-1]
    if own is None or other is None:
        return None
    mine, theirs = policies if arm == "stable" else policies[::-1]
    choice = _drawn(mine, decision_id, own)
    share = split.share_of(arm)
    mixture = share * choice.propensity + (1 - share) * _probability(other, choice)
    return choice._replace(placed=Placed(arm, share, min(mixture, 1.0), theirs.offsets))


def _probability(other: Distribution, choice: Choice) -> float:
    """With which the other arm would have chosen the same."""
    if other.vector or choice.vector:
        return float(other.vector == choice.vector)
    if other.names == choice.names:
        return float(other.row[choice.chosen])
    # One of them has a guard, and offers less.
    return float(other.row[other.names.index(choice.action)]) if choice.action in other.names else 0.0


def _answers(online: ServedPolicy, trained: TrainedPolicy | None, asked: Sequence[Asked]) -> _Answers:
    if trained is None:
        return _Answers(online, _online(online, asked))
    try:
        return _Answers(trained, trained.distributions(asked))
    except Exception as error:  # whatever is in a network, requests are answered
        return _Answers(trained, [None] * len(asked), f"{type(error).__name__}: {error}")


def _online(policy: ServedPolicy, asked: Sequence[Asked]) -> list[Distribution]:
    if policy.model.action_width:
        return [_own(policy, one) for one in asked]
    contexts = np.stack([one.context for one in asked])
    eligible = None if all(one.every for one in asked) else np.stack([_mask(one) for one in asked])
    rows = policy.model.probabilities(contexts, eligible)
    return [
        allotted(policy, one, row if one.every else row[one.positions()])
        for one, row in zip(asked, rows, strict=True)
    ]


def _own(policy: ServedPolicy, asked: Asked) -> Distribution:
    """The online policy's answer to one request."""
    return allotted(policy, asked, _row(policy, asked))


def _row(policy: ServedPolicy, asked: Asked) -> Row:
    model = policy.model
    if model.action_width:
        return model.probabilities_dynamic(asked.context, asked.action_features)
    row: Row = model.probabilities(asked.context[None], None if asked.every else _mask(asked))[0]
    return row if asked.every else row[asked.positions()]


def _drawn(policy: Decides, decision_id: str, found: Distribution) -> Choice:
    probabilities = found.row.tolist()
    chosen = draw(probabilities, uniform(decision_id, policy.name, policy.version))
    return Choice(
        decision_id, policy, chosen, found.names, found.every, found.row, probabilities, found.vector
    )


def _mask(asked: Asked) -> npt.NDArray[np.bool_]:
    mask = np.zeros(len(asked.application.actions), bool)
    mask[asked.positions()] = True
    return mask
