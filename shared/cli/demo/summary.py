"""The figures that a demo ends with."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from shared.cli.audit.audit import Audit
from shared.cli.audit.findings import HOLDS
from shared.cli.demo.following import Rewarded
from shared.cli.output import console

TRAIL = "audit_trail"
"""The part of a rollout's figures that was shown as it happened."""
PART = 0.2
"""The share of the decisions that counts as the first, and as the last."""


@dataclass(frozen=True)
class Baselines:
    """Mean rewards to compare with: of choosing blindly, and the highest, None where nobody knows it."""

    uniform: float
    optimal: float | None = None


@dataclass(frozen=True)
class Summary:
    """What was played and what came of it; times in the units of their names."""

    application: str
    decisions: int
    rewards: int
    defaults: int
    mean_reward: float
    mean_reward_first: float
    mean_reward_last: float
    uniform: float
    """Mean reward of choosing blindly."""
    optimal: float | None
    """The highest mean reward there can be, where it is known."""
    freshness_p50_ms: float
    freshness_p95_ms: float
    decisions_per_s: float
    seconds: float
    figures: dict[str, int]
    """Of the audit: records in, and what became of them."""
    audit: dict[str, str]
    candidate: Mapping[str, Any] | None = None
    """What the trainer made of it, where it was asked."""
    rollout: Mapping[str, Any] | None = None
    """What came of its rollout, where there was one."""

    @property
    def sound(self) -> bool:
        """Whether the audit found nothing, and a candidate was trained if one was asked for."""
        trained = self.candidate is None or self.candidate["status"] == "trained"
        return trained and all(verdict == HOLDS for verdict in self.audit.values())

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def summarise(
    application: str,
    baselines: Baselines,
    table: Mapping[str, Rewarded],
    freshness: Sequence[float],
    playing_s: float,
    total_s: float,
    audit: Audit,
    candidate: Mapping[str, Any] | None = None,
) -> Summary:
    """Figures of a finished demo; ids in `table` sort as the decisions were made."""
    rewards = [rewarded.reward for _, rewarded in sorted(table.items())]
    part = max(1, round(len(rewards) * PART))
    return Summary(
        application=application,
        decisions=audit.figures["decisions"],
        rewards=len(rewards),
        defaults=sum(rewarded.is_default for rewarded in table.values()),
        mean_reward=round(statistics.fmean(rewards), 4),
        mean_reward_first=round(statistics.fmean(rewards[:part]), 4),
        mean_reward_last=round(statistics.fmean(rewards[-part:]), 4),
        uniform=round(baselines.uniform, 4),
        optimal=None if baselines.optimal is None else round(baselines.optimal, 4),
        freshness_p50_ms=percentile_ms(freshness, 50),
        freshness_p95_ms=percentile_ms(freshness, 95),
        decisions_per_s=round(len(rewards) / playing_s, 1),
        seconds=round(total_s, 1),
        figures=audit.figures,
        audit=audit.verdicts,
        candidate=candidate,
    )


def percentile_ms(seconds: Sequence[float], percent: int) -> float:
    """A percentile in milliseconds; 0 for fewer than two values."""
    if len(seconds) < 2:
        return 0.0
    return round(statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1] * 1000, 1)


def show(summary: Summary) -> None:
    """A small table on stderr."""
    table = Table(box=None, show_header=False, pad_edge=False)
    rows = {
        "decisions": f"{summary.decisions:,} ({summary.decisions_per_s:,.0f}/s)",
        "joined / default": f"{summary.rewards - summary.defaults:,} / {summary.defaults:,}",
        "mean reward, first 20 %": f"{summary.mean_reward_first:.3f}",
        "mean reward, last 20 %": f"{summary.mean_reward_last:.3f}",
        "uniform baseline": f"{summary.uniform:.3f}",
        **({} if summary.optimal is None else {"optimum": f"{summary.optimal:.3f}"}),
        "freshness p50 / p95": f"{summary.freshness_p50_ms:,.0f} ms / {summary.freshness_p95_ms:,.0f} ms",
        **{f"audit {name}": verdict for name, verdict in summary.audit.items()},
        **_of_candidate(summary.candidate),
        **{f"rollout {name}": str(value) for name, value in (summary.rollout or {}).items() if name != TRAIL},
    }
    for name, value in rows.items():
        table.add_row(name, value)
    console().print(table)


def _of_candidate(candidate: Mapping[str, Any] | None) -> dict[str, str]:
    if candidate is None:
        return {}
    outcome = candidate["id"][:16] if candidate["status"] == "trained" else candidate["reason"]
    figures = {name: f"{value:,.4g}" for name, value in candidate["metrics"].items()}
    rows = {f"candidate, {candidate['algorithm']}": f"{candidate['status']} {outcome}"}
    return rows | {f"  {name}": value for name, value in figures.items()}
