"""From a candidate to its evaluation: loads the artefact, reads the log, judges, writes the page."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from threading import Event

from services.evaluator.asking import Unusable, policy_of
from services.evaluator.judging import Judged, judge_log, refused, settings_of
from services.evaluator.judging_vectors import judge_vectors
from services.evaluator.language import is_language, judge_language
from services.evaluator.lineage import Lineage
from services.evaluator.pages import Pages
from services.evaluator.rewards import Logged, read_log
from services.evaluator.settings import EvaluatorSettings
from shared.algorithms.reaching import Attempts, Unreachable
from shared.algorithms.serving import ContinuousPolicy, Policy
from shared.applications.contract import Application
from shared.broker.settings import BrokerSettings
from shared.core.estimators.settings import Settings
from shared.telemetry.metrics import Metrics
from shared.wire.rollouts import Evaluation
from shared.wire.training import Candidate

STORAGE = "storage"
"""Name of the reason where an artefact's storage could not be reached for as long as it was tried."""
log = logging.getLogger(__name__)


class Abandoned(Exception):
    """Nobody waits for the evaluation any more: who takes over begins anew."""


class Evaluating:
    """Evaluates candidates on what is logged; `clock` in milliseconds since 1970.

    Pauses between attempts to reach a storage end when `abandoned` is set.
    """

    def __init__(
        self,
        settings: EvaluatorSettings,
        broker: BrokerSettings,
        applications: Mapping[str, Application],
        pages: Pages,
        partitions: int,
        metrics: Metrics,
        clock: Callable[[], int],
        abandoned: Event,
    ) -> None:
        self._settings, self._broker, self._applications = settings, broker, applications
        self._pages, self._partitions, self._metrics, self._clock = pages, partitions, metrics, clock
        self._abandoned = abandoned

    def evaluate(self, candidate: Candidate, lineage: Lineage, widening: float) -> Evaluation:
        """The evaluation `kind: log`. Raises kafka.errors.KafkaError, OSError, Abandoned."""
        attempts = Attempts(self._settings.storage_limit.total_seconds())
        while True:
            try:
                with self._metrics.evaluation_seconds.labels(candidate.application).time():
                    return self._evaluate(candidate, lineage, widening)
            except Unreachable as error:
                log.warning("%s waits: %s", candidate.candidate_id, error)
                if (pause := attempts.pause()) is None:
                    about = about_candidate(candidate, self._clock())
                    return refused(about, STORAGE, attempts.told(str(error)))
            if self._abandoned.wait(pause):
                raise Abandoned(candidate.candidate_id)

    def _evaluate(self, candidate: Candidate, lineage: Lineage, widening: float) -> Evaluation:
        now, application = self._clock(), self._applications[candidate.application]
        about = about_candidate(candidate, now)
        try:
            if is_language(candidate):
                settings = settings_of(application.settings, widening, self._settings.tuned_at)
                held = judge_language(about, candidate, settings)
                return replace(held.evaluation, report=self._pages.write_rows(held, settings.alpha))
            policy = policy_of(candidate, application)
            since = now - round(self._settings.window.total_seconds() * 1000)
            vector = isinstance(policy, ContinuousPolicy)
            most = self._settings.most_decisions
            logged = read_log(
                self._broker, candidate.application, self._partitions, since, most, attributes=vector
            )
            settings = settings_of(application.settings, widening, self._settings.tuned_at)
            judged = judge(about, policy, application, logged, lineage, settings)
        except Unusable as error:
            return refused(about, error.name, str(error))
        return replace(judged.evaluation, report=self._pages.write(judged))


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
