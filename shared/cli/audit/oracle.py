"""What the join must have made of a partition, by dictionaries: no windows, no clocks, the whole log at once.

Written apart from `shared.core.join`, so that the two can contradict each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

ACTIVATION = "$activation"


class Fate(Enum):
    """What must have become of a record."""

    OUT = "out"
    """It is in a reward."""
    DEAD = "dead"
    LATE = "late"
    """Dead, because it came after everything that could use it."""
    DUPLICATE = "duplicate"
    """The same bytes came before. Dead letters have it when it came too late as well."""
    FILTERED = "filtered"
    """Its decision was deferred and never activated."""
    OPEN = "open"
    """What becomes of it is not settled yet."""


class Decision(NamedTuple):
    """A usable decision; `time` in milliseconds of the broker's clock, `body` identifies its bytes."""

    id: str
    application: str
    deferred: bool
    time: int
    offset: int
    body: int


class Interaction(NamedTuple):
    """A usable interaction; `row` is its place in the frame that rewards are computed from."""

    id: str
    decision_id: str
    application: str
    type: str
    time: int
    offset: int
    body: int
    row: int


class Rule(NamedTuple):
    """An application's windows, in milliseconds."""

    early_grace: int
    wait: int
    hold: int


@dataclass
class Expected:
    """The oracle's answer for one partition."""

    decisions: dict[str, Decision] = field(default_factory=dict)
    """Those that get a reward, or may still get one, in log order."""
    rows: dict[str, list[int]] = field(default_factory=dict)
    """decision_id → rows of the interactions that count, in log order."""
    unsettled: set[str] = field(default_factory=set)
    """Decisions without interactions whose window may be open: they may have a reward or not."""
    decision_fates: dict[int, Fate] = field(default_factory=dict)
    """Offset in the decisions → fate."""
    interaction_fates: dict[int, Fate] = field(default_factory=dict)


def expect(
    decisions: Sequence[Decision], interactions: Sequence[Interaction], rules: Mapping[str, Rule], now: int
) -> Expected:
    """Join one partition; both lists in log order. What happened after `now` (ms) may not be settled."""
    found = Expected()
    for decision in decisions:
        first = found.decisions.setdefault(decision.id, decision)
        found.decision_fates[decision.offset] = Fate.OUT if first is decision else _copy(first, decision)
    activated = _count(interactions, rules, now, found)
    for decision in list(found.decisions.values()):
        rule = rules[decision.application]
        if decision.deferred and decision.id not in activated:
            _drop(
                decision, found, Fate.OPEN if decision.time + rule.wait + rule.hold >= now else Fate.FILTERED
            )
        elif decision.id not in found.rows and decision.time + rule.wait >= now:
            found.unsettled.add(decision.id)
    return found


def _count(
    interactions: Sequence[Interaction], rules: Mapping[str, Rule], now: int, found: Expected
) -> dict[str, list[int]]:
    """Give each interaction its fate; returns the activations: decision_id → their offsets."""
    seen: dict[tuple[str, str], Interaction] = {}
    counted: dict[str, list[int]] = {}
    activated: dict[str, list[int]] = {}
    for each in interactions:
        first = seen.setdefault((each.decision_id, each.id), each)
        if first is not each:
            fate = _copy(first, each)
        else:
            fate = _fate(each, found.decisions.get(each.decision_id), rules, now)
        found.interaction_fates[each.offset] = fate
        if fate is Fate.OUT and each.type == ACTIVATION:
            activated.setdefault(each.decision_id, []).append(each.offset)
        elif fate is Fate.OUT:
            counted.setdefault(each.decision_id, []).append(each.offset)
            found.rows.setdefault(each.decision_id, []).append(each.row)
    for decision_id, offsets in counted.items():
        decision = found.decisions[decision_id]
        if decision.deferred and decision_id not in activated:
            rule = rules[decision.application]
            settled = decision.time + rule.wait + rule.hold < now
            found.interaction_fates |= dict.fromkeys(offsets, Fate.FILTERED if settled else Fate.OPEN)
    return activated


def _fate(each: Interaction, decision: Decision | None, rules: Mapping[str, Rule], now: int) -> Fate:
    after = None
    if decision is not None and each.application == decision.application:
        rule, after = rules[decision.application], each.time - decision.time
        if -rule.early_grace <= after <= rule.wait + rule.hold:
            return Fate.OUT
    # Who has forgotten the decision, or never seen it, waits for it as long as it may still come.
    if each.time + max(rule.early_grace for rule in rules.values()) >= now:
        return Fate.OPEN
    return Fate.LATE if after is not None and after > 0 else Fate.DEAD


def _copy(first: Decision | Interaction, again: Decision | Interaction) -> Fate:
    return Fate.DUPLICATE if first.body == again.body else Fate.DEAD


def _drop(decision: Decision, found: Expected, fate: Fate) -> None:
    found.decision_fates[decision.offset] = fate
    del found.decisions[decision.id]
    found.rows.pop(decision.id, None)
