"""How candidates stand, as far as the log tells: no clock, no Kafka, no files."""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from services.evaluator.calibration import Calibration
from services.evaluator.lineage import Lineage, lineage
from shared.applications.contract import Application
from shared.wire.rollouts import Deployment, Evaluation, Kind
from shared.wire.training import Candidate

REMEMBERED = 1_000
"""Candidates of an application whose evaluations can be asked for; older ones are in the topic."""
HOPELESS = frozenset(
    {
        *("artefact", "library", "policy", "actions"),
        *("no-policy", "no-held-out", "no-baseline", "divergence", "reward-model"),
    }
)
"""Reasons for a refusal that no further decision takes away."""
ALWAYS = 2**63 - 1
"""The end of a time that has none yet, milliseconds."""

#: From when until when (milliseconds since 1970) a candidate was the canary.
Period = tuple[int, int]


class Standing:
    """What is known of candidates, evaluations and deployments."""

    def __init__(self, applications: Mapping[str, Application], tuned_at: float) -> None:
        self._applications = applications
        self.candidates: dict[tuple[str, str], Candidate] = {}
        """(application, candidate) → what its trainer said last."""
        self.judged: set[tuple[str, str]] = set()
        """(application, candidate) that have their evaluation on the log."""
        self.latest: dict[str, dict[str, dict[Kind, Evaluation]]] = defaultdict(dict)
        """Application → candidate → kind → the last evaluation."""
        self._seen: set[str] = set()
        self._order: dict[str, deque[str]] = defaultdict(deque)
        self._deployments: dict[str, Deployment] = {}
        self._periods: dict[tuple[str, str], list[Period]] = defaultdict(list)
        self._calibrations = {
            name: Calibration(each.settings.evaluation.alpha, tuned_at) for name, each in applications.items()
        }

    def learn_candidate(self, candidate: Candidate) -> None:
        """A record of candidates."""
        if candidate.status == "trained":
            self.candidates[candidate.application, candidate.candidate_id] = candidate

    def learn_evaluation(self, evaluation: Evaluation) -> None:
        """A record of evaluations, this service's or another's; one that is known changes nothing."""
        name, candidate = evaluation.application, evaluation.candidate_id
        if evaluation.evaluation_id in self._seen or name not in self._applications:
            return
        self._seen.add(evaluation.evaluation_id)
        if evaluation.kind == "log":
            self.judged.add((name, candidate))
        found, order = self.latest[name], self._order[name]
        self._calibrations[name].learn(evaluation, found.get(candidate, {}))
        if candidate not in found:
            found[candidate] = {}
            order.append(candidate)
            if len(order) > REMEMBERED:
                del found[order.popleft()]
        found[candidate][evaluation.kind] = evaluation

    def learn_deployment(self, deployment: Deployment) -> None:
        """A record of deployments; the latest of an application counts."""
        name, now = deployment.application, deployment.at
        before, after = _canary(self._deployments.get(name)), _canary(deployment)
        self._deployments[name] = deployment
        if before and before != after:
            since, _ = self._periods[name, before].pop()
            self._periods[name, before].append((since, now))
        if after and before != after:
            self._periods[name, after].append((now, ALWAYS))

    def periods(self, candidate: Candidate) -> Sequence[Period]:
        """When a candidate is, or was, the canary, as far as deployments are still told."""
        return self._periods.get((candidate.application, candidate.candidate_id), ())

    def stood(self, each: Candidate | Evaluation) -> Mapping[Kind, Evaluation]:
        """The last evaluation of each kind of a candidate."""
        return self.latest.get(each.application, {}).get(each.candidate_id, {})

    def lineage(self, candidate: Candidate) -> Lineage:
        """What a candidate was trained on."""
        return lineage(candidate, self.candidates)

    def widening(self, application: str) -> float:
        """Factor on the intervals of an application's next evaluation."""
        return self._calibrations[application].widening

    def followed(self, now: int, age: timedelta, most: int) -> Iterator[Candidate]:
        """Candidates that are estimated as decisions flow: of each application the newest `most` that are
        neither hopeless nor too old, failed, blocked or stable. `now` is in milliseconds."""
        oldest = now - round(age.total_seconds() * 1000)
        counts = defaultdict[str, int](int)
        newest = sorted(self.candidates.values(), key=lambda each: (-each.at, each.candidate_id))
        for each in newest:
            if each.at >= oldest and counts[each.application] < most and self._open(each):
                counts[each.application] += 1
                yield each

    def _open(self, candidate: Candidate) -> bool:
        stood = self.stood(candidate)
        if "log" not in stood:
            return False
        if any(each.verdict == "fail" for kind, each in stood.items() if kind != "stage"):
            return False
        if any(reason.name in HOPELESS for reason in stood["log"].reasons):
            return False
        deployment = self._deployments.get(candidate.application)
        out = () if deployment is None else (*deployment.blocked, deployment.stable.policy)
        return candidate.candidate_id not in out


def _canary(deployment: Deployment | None) -> str | None:
    """Who has part of the subjects."""
    if deployment is None or deployment.canary is None or not deployment.share > 0:
        return None
    return deployment.canary.policy
