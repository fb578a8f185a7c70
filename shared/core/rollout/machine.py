"""The deployer's state machine: an event and a time in, a state and its audit out."""

from dataclasses import dataclass, replace

from shared.core.rollout.facts import (
    Abort,
    Block,
    Event,
    Freeze,
    Health,
    Kill,
    Observe,
    Outcome,
    Pause,
    Promote,
    Resume,
    Rollback,
    Rollout,
    State,
    Submit,
    Thaw,
    Transition,
    Unblock,
)
from shared.core.rollout.settings import RolloutSettings


class Refused(Exception):
    """The event means nothing in this state."""


def step(state: State, event: Event, now: float, settings: RolloutSettings, cause: str = "") -> Outcome:
    """Return what an event at a time (seconds, never falling) leads to.

    Args:
        state: before.
        event: what happened.
        now: when.
        settings: the application's.
        cause: who or what, with numbers; it goes into the audit as it is.
    """
    run = _Run(state, now, settings, cause or type(event).__name__.lower())
    try:
        run.take(event)
    except Refused as refused:
        return Outcome(state, refused=str(refused))
    run.start_next()
    return Outcome(run.state, tuple(run.transitions))


@dataclass
class _Run:
    state: State
    now: float
    settings: RolloutSettings
    cause: str

    def __post_init__(self) -> None:
        self.transitions: list[Transition] = []

    def take(self, event: Event) -> None:
        match event:
            case Submit(policy):
                self._submit(policy)
            case Observe():
                self._observe(event)
            case Pause():
                self._pause()
            case Resume():
                self._resume()
            case Promote():
                self._promote()
            case Abort():
                self._end("aborted", self._rollout())
            case Rollback():
                self._rollback()
            case Kill():
                self._kill()
            case Freeze() | Thaw():
                self._set_frozen(isinstance(event, Freeze))
            case Block():
                self._block(event)
            case Unblock(policy):
                self._unblock(policy)

    def start_next(self) -> None:
        """Start the candidate that has waited longest, if one may start."""
        while self.state.queue and not self.state.rollout and not self.state.frozen:
            policy, *rest = self.state.queue
            self.state = replace(self.state, queue=tuple(rest))
            if not self.state.blocks(policy, self.now):
                rollout = Rollout(policy, 0, self.now, self.now)
                self._move("started", policy, rollout=rollout)

    def _submit(self, policy: str) -> None:
        state = self.state
        if state.blocks(policy, self.now):
            raise Refused(f"{policy} is blacklisted")
        if policy in (state.stable, state.rollout and state.rollout.policy, *state.queue):
            raise Refused(f"{policy} is stable, rolled out or queued already")
        if state.rollout and self.settings.supersede and not state.frozen:
            self._end("superseded", state.rollout)
        waiting = (policy,) if self.settings.supersede else (*state.queue, policy)
        self._move("queued", policy, queue=waiting)

    def _observe(self, event: Observe) -> None:
        rollout = self._rollout()
        if event.policy != rollout.policy:
            raise Refused(f"{event.policy} is not what is rolled out: that is {rollout.policy}")
        stage = self.settings.stages[rollout.stage]
        if event.health == Health.BREACH:
            self._block_for_breach(rollout.policy)
            self._end("rolled-back", rollout)
        elif self.now - rollout.started > self.settings.longest_s:
            self._end("expired", rollout)
        elif (
            event.health == Health.GOOD
            and not (rollout.paused or self.state.frozen)
            and self.now - rollout.since >= stage.bake_s
            and event.samples >= stage.samples
        ):
            self._advance(rollout)

    def _pause(self) -> None:
        rollout = self._rollout()
        if rollout.paused:
            raise Refused("the rollout is paused already")
        self._move("paused", rollout.policy, rollout=replace(rollout, paused=True))

    def _resume(self) -> None:
        if self.state.frozen and not (self.state.rollout and self.state.rollout.paused):
            raise Refused("nothing is paused; it is frozen until somebody thaws it")
        rollout = self._rollout()
        if not rollout.paused:
            raise Refused("the rollout is not paused")
        self._move("resumed", rollout.policy, rollout=replace(rollout, paused=False, since=self.now))

    def _promote(self) -> None:
        rollout = self._rollout()
        if self.state.frozen or rollout.paused:
            raise Refused("nothing is promoted while it is frozen or paused")
        self._advance(rollout)

    def _rollback(self) -> None:
        if self.state.rollout:
            self._end("rolled-back", self.state.rollout)
        elif self.state.stable == self.state.base and not self.state.history:
            raise Refused("there is no earlier version to go back to")
        else:
            self._leave_stable()

    def _kill(self) -> None:
        if self.state.rollout:
            self._end("rolled-back", self.state.rollout)
        if not self.state.frozen:
            self._set_frozen(True)

    def _set_frozen(self, frozen: bool) -> None:
        if self.state.frozen == frozen:
            raise Refused("it is frozen already" if frozen else "it is not frozen")
        rollout = self.state.rollout
        if rollout and not frozen:
            rollout = replace(rollout, since=self.now)
        self._move("frozen" if frozen else "thawed", self.state.stable, frozen=frozen, rollout=rollout)

    def _block(self, event: Block) -> None:
        if event.policy == self.state.base:
            raise Refused(f"{event.policy} is the base, which is never blacklisted")
        others = tuple(each for each in self.state.blocked if each.policy != event.policy)
        queue = tuple(each for each in self.state.queue if each != event.policy)
        self._move("blacklisted", event.policy, blocked=(*others, event), queue=queue)
        if self.state.rollout and self.state.rollout.policy == event.policy:
            self._end("rolled-back", self.state.rollout)
        if self.state.stable == event.policy:
            self._leave_stable()

    def _unblock(self, policy: str) -> None:
        if not self.state.blocks(policy, self.now):
            raise Refused(f"{policy} is not blacklisted")
        others = tuple(each for each in self.state.blocked if each.policy != policy)
        self._move("pardoned", policy, blocked=others)

    def _block_for_breach(self, policy: str) -> None:
        lasts = self.settings.breach_blocks_s
        until = None if lasts is None else self.now + lasts
        if policy != self.state.base:
            entry = Block(policy, self.cause, until)
            self._move("blacklisted", policy, blocked=(*self.state.blocked, entry))

    def _leave_stable(self) -> None:
        """Go back to the newest earlier version that is good, or to the base."""
        *_, good = (self.state.base, *(p for p in self.state.history if not self.state.blocks(p, self.now)))
        place = self.state.history.index(good) if good in self.state.history else 0
        rollout = self.state.rollout
        if rollout and rollout.policy == good:
            self._end("superseded", rollout)
        elif rollout:
            # What it is compared with has changed.
            self.state = replace(self.state, rollout=replace(rollout, since=self.now))
        queue = tuple(each for each in self.state.queue if each != good)
        self._move("reverted", good, stable=good, history=self.state.history[:place], queue=queue)

    def _advance(self, rollout: Rollout) -> None:
        if rollout.stage + 1 < len(self.settings.stages):
            ahead = replace(rollout, stage=rollout.stage + 1, since=self.now)
            self._move("advanced", rollout.policy, rollout=ahead)
        else:
            policy = rollout.policy
            history = tuple(each for each in (*self.state.history, self.state.stable) if each != policy)
            self._move("stable", policy, stable=policy, history=history, rollout=None)

    def _end(self, what: str, rollout: Rollout) -> None:
        self._move(what, rollout.policy, rollout=None)

    def _rollout(self) -> Rollout:
        if self.state.rollout is None:
            raise Refused("nothing is being rolled out")
        return self.state.rollout

    def _move(self, what: str, policy: str, **changes: object) -> None:
        self.state = replace(self.state, sequence=self.state.sequence + 1, **changes)  # type: ignore[arg-type]
        self.transitions.append(
            Transition(
                sequence=self.state.sequence,
                at=self.now,
                what=what,
                policy=policy,
                stable=self.state.stable,
                share=self.state.share(self.settings),
                cause=self.cause,
            )
        )
