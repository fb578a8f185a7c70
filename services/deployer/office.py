"""Books, rules and cohorts of all applications, for whoever leads."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from math import nan

from services.deployer import commands, handlers, judging, standing, stepping
from services.deployer.book import Book, rebased
from services.deployer.commands import Command
from services.deployer.models import Models
from services.deployer.reading import RewardReader, Staged
from services.deployer.realising import Finished, realised
from services.deployer.records import Made
from services.deployer.settings import DeployerSettings
from services.deployer.stepping import ENDS, Broken, Change, Rules, Unverified
from services.deployer.verifying import Checked, Verifier
from shared.applications.contract import Application
from shared.core.rollout.cohorts import ArmName
from shared.core.rollout.facts import Health, State
from shared.core.rollout.guards import Assessment
from shared.telemetry.metrics import Metrics
from shared.wire.rollouts import Deployed, DeploymentEvent, Evaluation, Verdict

ARMS: tuple[ArmName, ...] = ("stable", "canary")
_VERDICTS: Mapping[str, Verdict] = {"advanced": "pass", "stable": "pass", "rolled-back": "fail"}


def _unknown(deployed: Deployed) -> str | None:
    raise Unverified(deployed)


class Office:
    """What is known of every application. `books` are replaced as a whole, so other threads may read them."""

    def __init__(
        self,
        settings: DeployerSettings,
        applications: Mapping[str, Application],
        books: Mapping[str, Book],
        reader: RewardReader,
        models: Models,
        verifier: Verifier,
        metrics: Metrics,
    ) -> None:
        self._models, self._verifier = models, verifier
        self._due: dict[Deployed, Future[Checked]] = {}
        """Artefacts that candidates wait for."""
        self._doubted: dict[str, tuple[Deployed, Future[Checked]]] = {}
        """Of applications: what they went back to before it was verified."""
        self._applications, self._reader, self._metrics = applications, reader, metrics
        self._quiet_ms = round(settings.quiet.total_seconds() * 1000)
        self.books: dict[str, Book] = {}
        """Of every application."""
        self.seen: dict[str, Assessment] = {}
        """What guards made of stages the last time."""
        self._stages = {name: judging.rollout_settings(each) for name, each in applications.items()}
        for name, application in applications.items():
            base = application.settings.policy.name
            self.books[name] = rebased(books.get(name) or Book(name, State(base, base)), base)
            self._follow(self.books[name])
            self._stand(self.books[name])
            self._show(name)
        models.want(self.books)
        verifier.keep({each.manifest_sha256 for book in self.books.values() for each in _used(book)})

    def rules(self, name: str, broken: Broken = _unknown) -> Rules:
        """How an application's rollouts go."""
        application = self._applications[name]
        automatic = application.settings.rollout.automatic
        arms = () if application.action_width else tuple(application.actions)
        tolerated = judging.tolerated(application)
        return Rules(self._stages[name], automatic, self._reader.ends, broken, arms, tolerated)

    def evaluated(self, evaluation: Evaluation, now: int) -> Change | None:
        """An evaluation has come."""
        book = self.books.get(evaluation.application)
        if book is None or evaluation.kind == "stage":
            why = "stage" if book else "unknown-application"
            self._metrics.records_filtered.labels("evaluations", why).inc()
            return None
        return handlers.evaluated(book, evaluation, now, self.rules(book.application))

    def happened(self, event: DeploymentEvent, now: int) -> Change | None:
        """Somebody wrote into the audit: only kill switches count."""
        book = self.books.get(event.application)
        if book is None or event.what != "killed":
            return None
        return handlers.killed(book, event, now, self.rules(book.application))

    def commanded(self, command: Command, now: int, known: Mapping[Deployed, Checked]) -> Change:
        """Somebody asks for something. Raises KeyError for an unknown application, and Unverified for an
        artefact that is not `known`."""
        book = self.books[command.application]

        def broken(deployed: Deployed) -> str | None:
            if deployed not in known:
                raise Unverified(deployed)
            # A version that was good is not given up because a storage is away: decision APIs have it.
            lasting = known[deployed].broken or command.verb == "promote"
            return (known[deployed].problem or None) if lasting else None

        return commands.commanded(book, command, now, self.rules(book.application, broken))

    def doubt(self, name: str) -> None:
        """An application has gone back to a version that nobody has verified yet."""
        deployed = self.books[name].deployed(self.books[name].state.stable)
        if deployed.artefact:
            self._doubted[name] = deployed, self._verifier.ask(deployed)

    def verified(self, now: int) -> Iterator[Change]:
        """What artefacts lead to that have been verified."""
        for name, book in list(self.books.items()):
            for policy, entry in list(book.entries.items()):
                if entry.due is not None and (found := self._checked(entry.deployed)) is not None:
                    rules = self.rules(name, lambda _, found=found: found.problem or None)  # type: ignore[misc]
                    yield handlers.verified(self.books[name], policy, now, rules)
        for name, (deployed, asked) in list(self._doubted.items()):
            if asked.done():
                del self._doubted[name]
                if asked.result().broken and self.books[name].state.stable == deployed.policy:
                    yield self._given_up(name, deployed, asked.result().problem, now)

    def _given_up(self, name: str, deployed: Deployed, problem: str, now: int) -> Change:
        reason = f"its artefact cannot be used: {problem}"
        command = Command("block", name, f"broken-{deployed.policy}", deployed.policy, "deployer", reason)
        known = {each: Checked() for each in _used(self.books[name])}
        return self.commanded(command, now, known)

    def _checked(self, deployed: Deployed) -> Checked | None:
        asked = self._due.get(deployed)
        if asked is None:
            asked = self._due[deployed] = self._verifier.ask(deployed)
        if not asked.done():
            return None
        del self._due[deployed]
        return asked.result()

    def observed(self, now: int) -> Iterator[Change]:
        """What guards lead to, for each rollout."""
        for name, book in list(self.books.items()):
            seen = self._look(book, now)
            if seen is None or book.state.rollout is None:
                continue
            problem = self._models.problem(book.state.rollout.policy)
            if problem and seen.health is Health.GOOD:
                seen = replace(seen, health=Health.UNSURE, reason="model-not-ready", cause=problem)
            staged = self._reader.stage(name)
            self._tell(name, seen, staged)
            number = len(judging.guards(self._applications[name]))
            means = judging.means(staged.cohorts if staged else None, number)
            yield handlers.observed(book, seen, means, now, self.rules(name))

    def stood(self, now: int) -> Iterator[Change]:
        """What the rewards of stable policies lead to."""
        for name, book in list(self.books.items()):
            staged = self._reader.stage(name, "standing")
            mean = staged.cohorts.arms["stable"].mean(0) if staged else None
            yield standing.stood(book, mean, now, self.rules(name))

    def made(self, change: Change, now: int) -> Made | None:
        """What goes into the log; None for nothing."""
        name = change.book.application
        if change.book == self.books[name] and not change.events:
            return None
        book = change.book.pruned()
        deployment = None
        if change.book != self.books[name]:
            deployment = stepping.deployment(book, now, self.rules(name))
        return Made(book, deployment, change.events, self._realised(change, now))

    def keep(self, made: Made, now: int) -> None:
        """It is in the log."""
        name = made.book.application
        before = self.books[name]
        self.books = {**self.books, name: made.book}
        if made.book.watch != before.watch:
            self._follow(made.book)
        if standing.moved(before.standing, made.book.standing):
            self._stand(made.book)
        for event in made.events:
            if event.what in ENDS:
                self._metrics.rollouts.labels(name, event.what).inc()
        if made.book.state.rollout is None:
            self._tell(name, None, None)
        self._show(name)
        self._models.want(self.books)

    def _look(self, book: Book, now: int) -> Assessment | None:
        rollout, watch = book.state.rollout, book.watch
        if rollout is None or watch is None:
            return None
        staged = self._reader.stage(book.application)
        if staged is None:
            entry = book.entries.get(rollout.policy)
            return judging.shadow(entry) if entry else None
        application = self._applications[book.application]
        reward = application.settings.reward
        quiet = self._quiet_ms + round((reward.wait + reward.hold).total_seconds() * 1000)
        plan = judging.plan(application, rollout.stage)
        return judging.judge(plan, staged.cohorts, watch, now, quiet)

    def _follow(self, book: Book) -> None:
        """Read the rewards of the stage that a book is in, if it has users."""
        name, rollout, watch = book.application, book.state.rollout, book.watch
        known = self._reader.stage(name)
        if rollout is None or watch is None or not (share := book.state.share(self._stages[name])):
            self._reader.follow(name, None)
        elif known is not None and not stepping.over(known.watch, watch):
            known.watch = watch
        else:
            application = self._applications[name]
            metrics = judging.metrics(application)
            self._reader.follow(name, Staged(watch, share, metrics, judging.cohorts(application)))

    def _stand(self, book: Book) -> None:
        """Read the rewards of the window that a book is in."""
        name, found = book.application, book.standing
        staged = judging.standing(self._applications[name], found) if found else None
        self._reader.follow(name, staged, "standing")

    def _realised(self, change: Change, now: int) -> Evaluation | None:
        ended, name = change.ended, change.book.application
        staged = self._reader.stage(name)
        if ended is None or staged is None:
            return None
        last = next((e for e in reversed(change.events) if e.policy == ended.policy), change.events[-1])
        application = self._applications[name]
        stage = Finished(
            self._stages[name].stages[ended.stage].name,
            ended,
            judging.plan(application, ended.stage),
            staged.cohorts,
            self._reader.positions(),
            application.settings.evaluation.alpha,
        )
        verdict = _VERDICTS.get(last.what, "inconclusive")
        return realised(name, self.books[name].entries[ended.policy], stage, verdict, last.sequence, now)

    def _tell(self, name: str, seen: Assessment | None, staged: Staged | None) -> None:
        before = self.seen.get(name)
        if before is not None and before.reason:
            self._metrics.rollout_held.labels(name, before.reason).set(0)
        others = {other: each for other, each in self.seen.items() if other != name}
        self.seen = others if seen is None else {**others, name: seen}
        if seen is not None and seen.reason:
            self._metrics.rollout_held.labels(name, seen.reason).set(1)
        for arm in ARMS:
            mean = staged.cohorts.arms[arm].mean(0) if staged else None
            self._metrics.rollout_mean.labels(name, arm).set(mean.value if mean else nan)
            self._metrics.rollout_samples.labels(name, arm).set(mean.count if mean else 0)

    def _show(self, name: str) -> None:
        rollout, found = self.books[name].state.rollout, self.books[name].standing
        self._metrics.reward_degraded.labels(name).set(bool(found and found.degraded))
        self._metrics.rollout_stage.labels(name).set(rollout.stage if rollout else -1)
        self._metrics.rollout_share.labels(name).set(self.books[name].state.share(self._stages[name]))


def _used(book: Book) -> Iterator[Deployed]:
    """What decides, waits, or may be gone back to."""
    state = book.state
    running = [state.rollout.policy] if state.rollout else []
    for policy in (state.stable, *running, *state.queue, *state.history):
        if (deployed := book.deployed(policy)).artefact:
            yield deployed
