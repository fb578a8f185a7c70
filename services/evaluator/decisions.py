"""From revisions of rewards to decisions that may be judged on: new to the candidate, final, trusted."""

import polars as pl

from services.evaluator.lineage import Lineage
from shared.applications.settings import ApplicationSettings


def unseen(frame: pl.DataFrame, lineage: Lineage) -> pl.DataFrame:
    """The latest revision of each decision of which the candidate has seen none.

    A decision whose first revision lies before what was read is left out: the candidate may have seen it.
    """
    told = pl.col("decision_id")
    whole = (pl.col("revision").min().over(told) == 0) & ~lineage.trained().any().over(told)
    latest = (
        frame.filter(whole)
        .sort("revision", maintain_order=True)
        .unique("decision_id", keep="last", maintain_order=True)
    )
    return latest.sort("decision_time", "decision_id")


def closed(decisions: pl.DataFrame, frame: pl.DataFrame, settings: ApplicationSettings) -> pl.DataFrame:
    """Decisions whose window has closed, as far as each partition of `frame` has got.

    Where rewards are emitted on interaction, those of open windows came because somebody reacted: counting
    them before their silent neighbours would flatter every policy, and the one that is reacted to most most.
    """
    wait = wait_ms(settings)
    if not wait or not frame.height:
        return decisions
    reached = frame.group_by("partition").agg((pl.col("reward_time").max() - wait).alias("closed"))
    joined = decisions.join(reached, on="partition", how="left", maintain_order="left")
    return joined.filter(pl.col("decision_time") <= pl.col("closed")).drop("closed")


def wait_ms(settings: ApplicationSettings) -> int:
    """How long after a decision its first reward may come, in milliseconds; 0 where rewards come closed."""
    if settings.reward.emission == "on_close":
        return 0
    return round(settings.reward.wait.total_seconds() * 1000)
