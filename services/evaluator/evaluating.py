"""From a candidate to its evaluation: loads the artefact, reads the log, judges, writes the page."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from threading import Lock

from services.evaluator.asking import Unusable, policy_of
from services.evaluator.judging import Judged, judge_log, refused, settings_of
from services.evaluator.judging_vectors import judge_vectors
from services.evaluator.language import is_language, judge_language
from services.evaluator.lineage import Lineage
from services.evaluator.pages import Pages
from services.evaluator.rewards import Logged, read_log
from services.evaluator.settings import EvaluatorSettings
from shared.algorithms.serving import ContinuousPolicy, Policy
from shared.applications.contract import Application
from shared.broker.settings import BrokerSettings
from shared.core.estimators.settings import Settings
from shared.telemetry.metrics import Metrics
from shared.wire.rollouts import Evaluation
from shared.wire.training import Candidate

STORAGE = "storage"
"""Name of the reason where an artefact's storage could not be reached for as long as it was tried."""


class Evaluating:
    """Evaluates candidates on what is logged, from any thread; `clock` in milliseconds since 1970."""

    def __init__(
        self,
        settings: EvaluatorSettings,
        broker: BrokerSettings,
        applications: Mapping[str, Application],
        pages: Pages,
        partitions: int,
        metrics: Metrics,
        clock: Callable[[], int],
    ) -> None:
        self._settings, self._broker, self._applications = settings, broker, applications
        self._pages, self._partitions, self._metrics, self._clock = pages, partitions, metrics, clock
        self._one = Lock()
        """Of the logs that are held in memory: storages may be waited for together."""

    def evaluate(self, candidate: Candidate, lineage: Lineage, widening: float) -> Evaluation:
        """The evaluation `kind: log`. Raises kafka.errors.KafkaError, OSError, Unreachable."""
        about = about_candidate(candidate, self._clock())
        application = self._applications[candidate.application]
        settings = settings_of(application.settings, widening, self._settings.tuned_at)
        try:
            if is_language(candidate):
                held = judge_language(about, candidate, settings)
                return replace(held.evaluation, report=self._pages.write_rows(held, settings.alpha))
            policy = policy_of(candidate, application)
            with self._one, self._metrics.evaluation_seconds.labels(application.name).time():
                judged = self._judged(about, policy, application, lineage, settings)
                return replace(judged.evaluation, report=self._pages.write(judged))
        except Unusable as error:
            return refused(about, error.name, str(error))

    def given_up(self, candidate: Candidate, told: str) -> Evaluation:
        """The evaluation of a candidate whose storage was not reached in time."""
        return refused(about_candidate(candidate, self._clock()), STORAGE, told)

    def _judged(
        self,
        about: Evaluation,
        policy: Policy,
        application: Application,
        lineage: Lineage,
        settings: Settings,
    ) -> Judged:
        since = about.at - round(self._settings.window.total_seconds() * 1000)
        most, vector = self._settings.most_decisions, isinstance(policy, ContinuousPolicy)
        logged = read_log(self._broker, application.name, self._partitions, since, most, attributes=vector)
        return judge(about, policy, application, logged, lineage, settings)


def judge(
    about: Evaluation,
    policy: Policy,
    application: Application,
    logged: Logged,
    lineage: Lineage,
    settings: Settings,
) -> Judged:
    """Judge a policy of either kind. Raises Unusable."""
    if isinstance(policy, ContinuousPolicy):
        return judge_vectors(about, policy, application, logged, lineage, settings)
    return judge_log(about, policy, application, logged, lineage, settings)


def about_candidate(candidate: Candidate, now: int) -> Evaluation:
    """What every evaluation says of its candidate."""
    return Evaluation(
        evaluation_id=f"log-{candidate.application}-{candidate.candidate_id}",
        application=candidate.application,
        candidate_id=candidate.candidate_id,
        kind="log",
        verdict="inconclusive",
        at=now,
        algorithm=candidate.algorithm,
        artefact=candidate.artefact,
        manifest_sha256=candidate.manifest_sha256,
    )
