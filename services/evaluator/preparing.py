"""What it takes to follow a candidate: its policy, and for vectors the decisions before its own."""

from collections.abc import Callable, Mapping, Sequence

from services.evaluator.asking import Unusable, policy_of
from services.evaluator.decisions import unseen
from services.evaluator.handlers import Period
from services.evaluator.language import is_language
from services.evaluator.lineage import Lineage
from services.evaluator.rewards import read_log
from services.evaluator.settings import EvaluatorSettings
from services.evaluator.shadow import begins
from services.evaluator.vectors import NO_DENSITY, vectors
from services.evaluator.weighing import Answering, Choosing, Giving, Weigher
from shared.algorithms.serving import ContinuousPolicy
from shared.applications.contract import Application
from shared.broker.settings import BrokerSettings
from shared.core.estimators.continuous.reference import Reference
from shared.wire.training import Candidate

EARLIER = 20_000
"""Most decisions that coordinates, bandwidth and reward model are made of: some hundred coefficients gain
nothing from more."""


class Preparing:
    """Makes weighers; `periods` are when a candidate is, or was, the canary."""

    def __init__(
        self,
        settings: EvaluatorSettings,
        broker: BrokerSettings,
        applications: Mapping[str, Application],
        partitions: int,
        periods: Callable[[Candidate], Sequence[Period]],
    ) -> None:
        self._settings, self._broker, self._applications = settings, broker, applications
        self._partitions, self._periods = partitions, periods

    def weigher(self, candidate: Candidate) -> Weigher:
        """The candidate's weigher. Raises Unusable, Unreachable, kafka.errors.KafkaError."""
        if is_language(candidate):
            return Answering(candidate.candidate_id, lambda: self._periods(candidate))
        application = self._applications[candidate.application]
        policy = policy_of(candidate, application)
        if not isinstance(policy, ContinuousPolicy):
            return Choosing(policy, application)
        return Giving(policy, application, self._reference(policy, candidate, application))

    def _reference(
        self, policy: ContinuousPolicy, candidate: Candidate, application: Application
    ) -> Reference:
        """Of the newest vectors with a density that were rewarded before the training began."""
        until, window = begins(candidate), round(self._settings.window.total_seconds() * 1000)
        found = read_log(
            self._broker, application.name, self._partitions, until - window, EARLIER, True, until
        )
        # What was read beyond the newest depends on how it was fetched, and a reference must not.
        newest = found.frame.group_by("partition", maintain_order=True).tail(EARLIER // self._partitions)
        log = vectors(unseen(newest, Lineage(())), policy, application, logged=True).log
        least = application.settings.evaluation.least_decisions
        if len(log) < least:
            detail = f"{len(log)} vectors with a density were rewarded before its training began"
            raise Unusable(NO_DENSITY, f"{detail}; at least {least} are needed")
        try:
            return Reference.fit(log, application.settings.evaluation.bandwidth)
        except ValueError as error:
            raise Unusable(NO_DENSITY, str(error)) from error
