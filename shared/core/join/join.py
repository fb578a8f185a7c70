"""The join of one partition: decisions, interactions and clocks in; rewards and refusals out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shared.core.join.decisions import NONE, RELEASED, Emitted, OpenDecisions
from shared.core.join.facts import (
    DECISIONS,
    INTERACTIONS,
    Bools,
    Decisions,
    Emission,
    Evaluate,
    Floats,
    Heard,
    Interactions,
    Ints,
    Output,
    Refusal,
    Window,
)
from shared.core.join.interactions import REASONS, KnownInteractions


@dataclass(frozen=True)
class Watermark:
    """Where a restart must begin to read, so that the same state comes about."""

    decisions: int
    interactions: int


class Join:
    """State of one partition.

    The reward of a decision is a function of the set of interactions that the log holds for it, so any
    interleaving of the two topics, and any number of restarts, ends in the same table of rewards.

    Args:
        windows: one for each application; batches name applications by their index here.
        evaluate: the reward function, over columns.
        copies: for how long, in ms after its window and hold, a copy of a decision is still known as one.
    """

    def __init__(self, windows: Sequence[Window], evaluate: Evaluate, copies: int = 0) -> None:
        self.decisions_clock = self.interactions_clock = 0
        self._evaluate = evaluate
        self._wait = np.array([w.wait for w in windows], np.int64)
        self._grace = np.array([w.early_grace for w in windows], np.int64)
        self._span = np.array([w.span for w in windows], np.int64)
        self._immediate = np.array([w.immediate for w in windows], bool)
        self._default = np.array([w.default for w in windows], np.float64)
        self._observed = np.array([w.observed for w in windows], bool)
        self._decisions = OpenDecisions(windows, copies)
        self._interactions = KnownInteractions()

    @property
    def held(self) -> int:
        """How many decisions are open or held for corrections."""
        return len(self._decisions)

    @property
    def unmatched(self) -> int:
        """How many decisions are waited for by interactions that came first."""
        return self._interactions.waiting

    @property
    def state_bytes(self) -> int:
        """Size of the records held."""
        return self._decisions.bytes + self._interactions.bytes

    def step(
        self,
        decisions: Decisions | None = None,
        interactions: Interactions | None = None,
        decisions_clock: int = 0,
        interactions_clock: int = 0,
    ) -> Output:
        """Take in what was read and advance time; a clock says that all records up to it were read."""
        output = Output()
        dirty = self._take(decisions, interactions, output)
        self._advance(decisions_clock, interactions_clock)
        dirty += self._decisions.close(self.interactions_clock)
        self._emit(np.unique(np.concatenate(dirty)), output)
        self._clean(output)
        return output

    def recover(self, decisions: Decisions | None = None, interactions: Interactions | None = None) -> None:
        """Take in records whose effects are in the log already: nothing is emitted, closed or refused."""
        self._take(decisions, interactions, Output())

    def settle(self, emitted: Mapping[str, Emitted], decisions_clock: int, interactions_clock: int) -> None:
        """End a recovery: bring clocks, closings and emissions to where the log says they were.

        Args:
            emitted: for each decision_id, its newest record on the rewards topic.
            decisions_clock: the clocks when that topic was last written, in milliseconds.
            interactions_clock: likewise.
        """
        for decision_id, last in emitted.items():
            self._decisions.restore(decision_id, last)
        self._advance(decisions_clock, interactions_clock)
        self._decisions.close(self.interactions_clock)
        self._clean(Output())

    def watermark(self, decisions: int, interactions: int) -> Watermark:
        """The lowest offsets that a restart needs, given the next offsets of both inputs."""
        oldest, oldest_time = self._interactions.oldest(), None
        if oldest is not None:
            interactions = int(self._interactions["offset"][oldest])
            oldest_time = int(self._interactions["time"][oldest])
        return Watermark(self._decisions.watermark(decisions, oldest_time), interactions)

    def _take(
        self, decisions: Decisions | None, interactions: Interactions | None, output: Output
    ) -> list[Ints]:
        touched = [np.empty(0, np.int64)]
        if decisions:
            self._advance(int(decisions.times.max()), 0)
            slots = self._decisions.take(decisions, output)
            if self._interactions.waiting:
                ids = self._decisions["id"][slots].tolist()
                touched.append(self._attach(*self._interactions.claim(ids, slots), output))
        if interactions:
            self._advance(0, int(interactions.times.max()))
            touched.append(self._take_interactions(interactions, output))
        return touched

    def _take_interactions(self, batch: Interactions, output: Output) -> Ints:
        known = self._interactions
        rows, new = known.take(batch, output)
        slots = self._decisions.find(batch.decision_ids)
        known["reason"][rows[new & (slots == RELEASED)]] = REASONS.index("too-late")
        matched = new & (slots >= 0)
        touched = self._attach(rows[matched], slots[matched], output)
        known.keep(rows[new][known["slot"][rows[new]] == NONE])
        early = new & (slots == NONE)
        if early.any():
            known.wait(rows[early], [batch.decision_ids[n] for n in np.flatnonzero(early)])
        return touched

    def _advance(self, decisions_clock: int, interactions_clock: int) -> None:
        self.decisions_clock = max(self.decisions_clock, decisions_clock)
        self.interactions_clock = max(self.interactions_clock, interactions_clock)

    def _attach(self, rows: Ints, slots: Ints, output: Output) -> Ints:
        """Link rows to their decisions where they count, and note why the others do not. Returns the
        slots that were touched."""
        known = self._interactions
        application = self._decisions["application"][slots]
        age = known["time"][rows] - self._decisions["time"][slots]
        checks = {
            "too-late": age > self._span[application],
            "too-early": age < -self._grace[application],
            "application-mismatch": known["application"][rows] != application,
        }
        counts = np.ones(len(rows), bool)
        for reason, failed in checks.items():
            known["reason"][rows[failed]] = REASONS.index(reason)
            counts &= ~failed
        late = counts & (age > self._wait[application])
        output.corrections.update(application[late].tolist())
        self._link(rows[counts], slots[counts])
        self._hear(rows[counts], slots[counts], output)
        return slots[counts]

    def _hear(self, rows: Ints, slots: Ints, output: Output) -> None:
        told = self._observed[self._decisions["application"][slots]] & ~self._interactions["activation"][rows]
        if not told.any():
            return
        rows, slots = rows[told], slots[told]
        applications = self._decisions["application"][slots]
        for application in np.unique(applications):
            own = applications == application
            decisions = self._decisions["raw"][slots[own]].tolist()
            interactions = self._interactions["raw"][rows[own]].tolist()
            output.heard.append(Heard(int(application), decisions, interactions))

    def _link(self, rows: Ints, slots: Ints) -> None:
        """Append rows, which come in log order, to the chains of their slots."""
        if not len(rows):
            return
        order = np.argsort(slots, kind="stable")
        rows, slots = rows[order], slots[order]
        starts = np.flatnonzero(np.r_[True, slots[1:] != slots[:-1]])
        ends = np.r_[starts[1:] - 1, len(rows) - 1]
        columns, links, owners = self._decisions, self._interactions["next"], slots[starts]
        links[rows[:-1]] = rows[1:]
        links[rows[ends]] = NONE
        self._interactions["slot"][rows] = slots
        empty = columns["head"][owners] == NONE
        columns["head"][owners[empty]] = rows[starts[empty]]
        links[columns["tail"][owners[~empty]]] = rows[starts[~empty]]
        columns["tail"][owners] = rows[ends]
        activation = self._interactions["activation"][rows]
        columns["activated"][slots[activation]] = True
        np.add.at(columns["count"], slots[~activation], 1)
        np.maximum.at(columns["last_time"], slots, self._interactions["time"][rows])

    def _emit(self, slots: Ints, output: Output) -> None:
        columns = self._decisions
        slots = slots[columns["activated"][slots] & ~columns["broken"][slots]]
        if not len(slots):
            return
        applications = columns["application"][slots]
        final = columns["closed"][slots] | columns["emitted"][slots]
        due = np.where(
            columns["count"][slots] > 0,
            self._immediate[applications] | final,
            final & ~columns["emitted"][slots],
        )
        for application in np.unique(applications[due]):
            chosen = slots[due & (applications == application)]
            self._emit_application(int(application), chosen, output)

    def _emit_application(self, application: int, slots: Ints, output: Output) -> None:
        columns = self._decisions
        is_default = columns["count"][slots] == 0
        reward, components = self._rewards(application, slots, is_default)
        finite = np.isfinite(reward)
        if not finite.all():
            self._break(slots[~finite], output)
        changed = ~columns["emitted"][slots] | (columns["reward"][slots] != reward)
        keep = finite & (changed | (columns["default"][slots] != is_default))
        slots, reward, is_default = slots[keep], reward[keep], is_default[keep]
        if not len(slots):
            return
        output.emissions.append(
            Emission(
                application=application,
                decision_ids=columns["id"][slots].tolist(),
                decisions=columns["raw"][slots].tolist(),
                reward=reward,
                components={name: values[keep] for name, values in components.items()},
                previous_reward=columns["reward"][slots],
                revision=columns["revision"][slots],
                is_default=is_default,
                was_default=columns["default"][slots],
                interactions=columns["count"][slots],
                decision_time=columns["time"][slots],
                decision_offset=columns["offset"][slots],
                last_time=columns["last_time"][slots],
            )
        )
        columns["emitted"][slots] = True
        columns["default"][slots] = is_default
        columns["revision"][slots] += 1
        columns["reward"][slots] = reward

    def _rewards(self, application: int, slots: Ints, is_default: Bools) -> tuple[Floats, dict[str, Floats]]:
        reward = np.full(len(slots), self._default[application])
        real = np.flatnonzero(~is_default)
        if not len(real):
            return reward, {}
        rows, owner = self._interactions.chains(self._decisions["head"][slots[real]])
        counted = ~self._interactions["activation"][rows]
        values, components = self._evaluate(
            application,
            self._interactions["raw"][rows[counted]].tolist(),
            owner[counted],
            self._decisions["raw"][slots[real]].tolist(),
        )
        reward[real] = values
        return reward, {name: _spread(column, real, len(slots)) for name, column in components.items()}

    def _break(self, slots: Ints, output: Output) -> None:
        columns = self._decisions
        columns["broken"][slots] = True
        for slot in slots:
            raw, key, offset = columns["raw"][slot], columns["id"][slot], int(columns["offset"][slot])
            output.refusals.append(Refusal(DECISIONS, raw, key, offset, "reward-not-finite"))

    def _clean(self, output: Output) -> None:
        """Refuse interactions whose decision can no longer come; forget decisions whose time is over."""
        limit = self.decisions_clock - int(self._grace.max(initial=0))
        self._interactions.expire(limit, output)
        slots = self._decisions.over(self.interactions_clock)
        never = slots[~self._decisions["activated"][slots]]
        rows, _ = self._interactions.chains(self._decisions["head"][slots])
        output.filtered[DECISIONS] += len(never)
        output.filtered[INTERACTIONS] += int(self._decisions["count"][never].sum())
        output.filtered[INTERACTIONS] += int(self._interactions["activation"][rows].sum())
        self._interactions.drop(rows)
        self._decisions.release(slots, self.decisions_clock)


def _spread(column: Floats, places: Ints, length: int) -> Floats:
    out = np.zeros(length)
    out[places] = column
    return out
