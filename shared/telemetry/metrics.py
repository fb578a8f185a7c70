"""Every metric name of Streamwheel, with its labels and units, in one place.

Labels are bounded: topics, partitions, loaded applications, configured policies and reason slugs.
Nothing that a client sends becomes a label before `bounded` has passed it.
"""

from collections.abc import Collection

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

#: Seconds. From a quarter of a millisecond (a decision from memory) to ten seconds (a request given up).
REQUEST_BUCKETS = (
    0.00025,
    0.0005,
    0.001,
    0.002,
    0.003,
    0.005,
    0.0075,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    1,
    2.5,
    10,
)
#: Seconds. From a click at once to a purchase a week later.
DELAY_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600, 1800, 3600, 21600, 86400, 604800)
#: Seconds. Freshness is promised in hundreds of milliseconds.
FRESHNESS_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
#: Seconds. From a linear model to a language model.
TRAINING_BUCKETS = (1, 5, 15, 60, 300, 900, 3600, 10_800, 43_200)
#: Records, in powers of four: from a single record to a full fetch.
BATCH_BUCKETS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)


def bounded(value: str, known: Collection[str]) -> str:
    """`value` if it is `known`, else "other": keeps what clients send from becoming new time series."""
    return value if value in known else "other"


class Metrics:
    """The metrics of one process, registered in `registry` (a new one if none is given)."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry = CollectorRegistry() if registry is None else registry
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"streamwheel_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"streamwheel_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"streamwheel_{name}", text, labels, registry=registry, buckets=buckets)

        # in = out + dead + late + duplicates + filtered
        self.records_in = counter("records_in", "records read, or events received over HTTP", "topic")
        self.records_out = counter("records_out", "records written and acknowledged", "topic")
        self.records_late = counter("records_late", "interactions after their window", "application")
        self.records_duplicate = counter("records_duplicate", "records seen before", "topic")
        self.records_dead = counter("records_dead", "records sent to dead-letters", "topic", "reason")
        self.records_filtered = counter("records_filtered", "records left out on purpose", "topic", "reason")
        self.records_rerouted = counter("records_rerouted", "records found in a wrong partition", "topic")
        self.batch_records = histogram("batch_records", "records in a batch", BATCH_BUCKETS, "topic")
        self.batch_seconds = histogram("batch_seconds", "time to handle a batch", REQUEST_BUCKETS, "topic")

        self.lag_records = gauge("lag_records", "records not yet handled", "topic", "partition")
        self.lag_seconds = gauge(
            "lag_seconds", "age of the oldest record not yet handled", "topic", "partition"
        )
        self.rebalances = counter("rebalances", "changes of this worker's partitions")
        self.partitions = gauge("partitions", "partitions that this worker holds", "topic")
        self.fenced = counter("fenced", "transactions refused because another worker took over")
        self.transaction_seconds = histogram(
            "transaction_seconds", "time of one transaction", REQUEST_BUCKETS
        )

        self.join_delay = histogram(
            "join_delay_seconds", "from a decision to its interaction", DELAY_BUCKETS, "application"
        )
        self.reward_latency = histogram(
            "reward_latency_seconds", "from an interaction to its reward", FRESHNESS_BUCKETS, "application"
        )
        self.rewards = counter("rewards", "rewards written", "application", "kind")
        self.open_decisions = gauge("open_decisions", "decisions whose window is open or held", "application")
        self.held_bytes = gauge("held_bytes", "memory of open windows")

        self.mean_reward = gauge(
            "mean_reward", "mean reward, recent rewards weighing more", "application", "policy"
        )
        self.rewards_learnt = counter(
            "rewards_learnt", "rewards applied to statistics", "application", "policy"
        )
        self.snapshots = counter("snapshots", "policy snapshots published", "application", "policy")
        self.snapshot_age = gauge(
            "snapshot_age_seconds", "age of the served snapshot", "application", "policy"
        )
        self.policy_version = gauge("policy_version", "version of the served policy", "application", "policy")
        self.freshness = histogram(
            "freshness_seconds",
            "from a learner's update in the log to the served policy that has it",
            FRESHNESS_BUCKETS,
            "application",
        )
        self.solve_seconds = histogram(
            "solve_seconds", "time to solve a policy", REQUEST_BUCKETS, "application"
        )

        self.decision_seconds = histogram(
            "decision_seconds", "from request to reply", REQUEST_BUCKETS, "application"
        )
        self.arm_seconds = histogram(
            "arm_seconds",
            "time in which the policy of an arm answered a request, or a batch, while a trained one decides",
            REQUEST_BUCKETS,
            *("application", "arm"),
        )
        # The label policy is the online policy's name, or the algorithm of a trained one.
        self.decisions = counter("decisions", "decisions made", "application", "policy", "arm")
        self.decisions_replaced = counter(
            "decisions_replaced", "decisions that a trained policy left to the online one", "application"
        )
        self.deployment_sequence = gauge(
            "deployment_sequence", "number of the deployment that is obeyed", "application"
        )
        self.deployment_age = gauge(
            "deployment_age_seconds", "age of the deployment that is obeyed", "application"
        )
        self.arm_share = gauge("arm_share", "share of subjects that an arm has", "application", "arm")
        self.arm_replaced = gauge(
            "arm_replaced", "1 where an arm is without its policy, else 0", "application", "arm"
        )
        self.artefact_failures = counter(
            "artefact_failures", "attempts to load an artefact that failed", "application", "reason"
        )
        self.killed = gauge("killed", "1 while the kill switch is on, else 0", "application")
        self.requests = counter("http_requests", "requests answered", "route", "status")
        self.request_seconds = histogram(
            "http_request_seconds", "time of a request", REQUEST_BUCKETS, "route"
        )
        self.events_refused = counter("events_refused", "events refused as invalid", "topic")
        self.events_unavailable = counter(
            "events_unavailable", "events Kafka did not acknowledge", "topic", "reason"
        )

        self.buffer_bytes = gauge("buffer_bytes", "bytes that wait for Kafka's acknowledgement")
        self.spool_records = gauge("spool_records", "decisions on disk that wait for Kafka")
        self.spool_bytes = gauge("spool_bytes", "size of the spool on disk")

        self.archived = counter("archived_rewards", "rewards archived", "application")
        self.archive_seconds = histogram("archive_seconds", "time to archive a batch", REQUEST_BUCKETS)
        self.training_requests = gauge("training_requests", "requests to train that are not answered")
        self.training_progress = gauge(
            "training_progress", "share done of the training under way", "application"
        )
        self.trainings = counter("trainings", "requests to train answered", "application", "status")
        self.training_seconds = histogram(
            "training_seconds", "from a training's begin to its end", TRAINING_BUCKETS, "application"
        )

        # The labels variant and verdict are those of the settings and of shared/core/experiments.
        variant = ("application", "variant", "metric")
        self.experiment_decisions = gauge(
            "experiment_decisions", "decisions of a test with a reward", "application", "variant"
        )
        self.experiment_mean = gauge("experiment_mean", "mean of a metric in a test", *variant)
        self.experiment_mean_low = gauge(
            "experiment_mean_low", "lower end of its confidence sequence", *variant
        )
        self.experiment_mean_high = gauge(
            "experiment_mean_high", "upper end of its confidence sequence", *variant
        )
        self.experiment_difference = gauge("experiment_difference", "mean less the control's", *variant)
        self.experiment_difference_low = gauge(
            "experiment_difference_low", "lower end of its confidence sequence", *variant
        )
        self.experiment_difference_high = gauge(
            "experiment_difference_high", "upper end of its confidence sequence", *variant
        )
        self.experiment_verdict = gauge(
            "experiment_verdict", "1 for the verdict that holds", *variant, "verdict"
        )

        self.evaluations = counter("evaluations", "evaluations written", "application", "kind", "verdict")
        self.evaluation_seconds = histogram(
            "evaluation_seconds", "time of an evaluation on the log", TRAINING_BUCKETS, "application"
        )
        self.widening = gauge(
            "evaluation_widening", "factor on intervals, from stages that missed predictions", "application"
        )
        # The label candidate is one of the few newest of an application that are followed.
        self.shadow_difference = gauge(
            "shadow_difference", "estimated reward less the baseline's", "application", "candidate"
        )
        self.shadow_low = gauge(
            "shadow_difference_low", "lower end of its confidence sequence", "application", "candidate"
        )
        self.shadow_high = gauge(
            "shadow_difference_high", "upper end of its confidence sequence", "application", "candidate"
        )
        self.shadow_effective = gauge(
            "shadow_effective_sample_size", "decisions' worth of weight", "application", "candidate"
        )
        self.shadow_verdict = gauge(
            "shadow_verdict", "1 for the verdict that holds", "application", "candidate", "verdict"
        )

        self.rollout_stage = gauge(
            "rollout_stage", "stage of the rollout, counted from 0; -1 without one", "application"
        )
        self.rollout_share = gauge("rollout_share", "share of subjects that get the canary", "application")
        self.rollout_mean = gauge(
            "rollout_mean_reward", "mean reward of an arm in this stage", "application", "arm"
        )
        self.rollout_samples = gauge(
            "rollout_samples", "closed rewards of an arm in this stage", "application", "arm"
        )
        self.rollout_held = gauge(
            "rollout_held", "1 for the reason that holds the stage", "application", "reason"
        )
        self.reward_degraded = gauge(
            "reward_degraded",
            "1 while what is stable earns less than when it became so, else 0",
            "application",
        )
        self.rollouts = counter("rollouts", "rollouts that ended", "application", "outcome")
        self.notifications = counter("notifications", "events told to webhooks", "outcome")
