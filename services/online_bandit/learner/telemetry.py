"""What the learner tells of its work."""

from collections.abc import Iterable

from services.online_bandit.learner.partition_state import Publication, Taught
from shared.telemetry.metrics import Metrics

MEMORY = 0.999
"""What a mean reward keeps of its weight with every further reward: it looks back over about 1,000."""
REWARDS, UPDATES, DEAD_LETTERS = "rewards", "policy-updates", "dead-letters"


class Telemetry:
    """Metrics of all partitions of this process."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self._means: dict[tuple[str, str], tuple[float, float]] = {}

    def learnt(self, records: int, seconds: float, taught: Iterable[Taught]) -> None:
        """A batch was learnt."""
        self.metrics.records_in.labels(REWARDS).inc(records)
        self.metrics.batch_records.labels(REWARDS).observe(records)
        self.metrics.batch_seconds.labels(REWARDS).observe(seconds)
        for lesson in taught:
            name = (lesson.application, lesson.policy)
            self.metrics.rewards_learnt.labels(*name).inc(lesson.rows)
            total, count = self._means.get(name, (0.0, 0.0))
            kept = MEMORY**lesson.fresh
            total, count = kept * total + lesson.reward, kept * count + lesson.fresh
            self._means[name] = total, count
            if count:
                self.metrics.mean_reward.labels(*name).set(total / count)

    def passed_over(self, records: int) -> None:
        """So many records were of actions that are vectors."""
        if records:
            self.metrics.records_filtered.labels(REWARDS, "vector-action").inc(records)

    def published(self, publication: Publication) -> None:
        """A transaction was committed."""
        self.metrics.records_out.labels(UPDATES).inc(len(publication.updates))
        for name in publication.snapshots:
            self.metrics.snapshots.labels(*name).inc()
        for dead in publication.dead:
            self.metrics.records_dead.labels(REWARDS, dead.reason).inc()
