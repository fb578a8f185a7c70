"""What people read: the best combinations, how each variant did, what to deploy."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import yaml

from shared.algorithms.prompt_search.declaration import Parameters
from shared.applications.voice_assistant.guard import GuardSettings, blacklisted
from shared.applications.voice_assistant.statistics import NORMAL_95, statistics
from shared.applications.voice_assistant.variants import Slots, Variants
from shared.core.arrays import Floats

#: Fewer calls than this in a profile prefer nothing.
MIN_PULLS = 10


def data_summary(frame: pl.DataFrame) -> dict[str, Any]:
    """How many calls of what, and from when to when (ISO 8601, UTC)."""
    times = frame["time"].cast(pl.Datetime("ms"))
    return {
        "calls": len(frame),
        "variants": frame["variant"].n_unique(),
        "profiles": frame["profile"].n_unique(),
        "first": times.min().isoformat() + "Z",  # type: ignore[union-attr]
        "last": times.max().isoformat() + "Z",  # type: ignore[union-attr]
        "average_reward": float(frame["reward"].mean()),  # type: ignore[arg-type]
    }


def preferences(frame: pl.DataFrame, gap: float) -> list[dict[str, Any]]:
    """Pairs of variants, in each profile, whose mean rewards differ by more than `gap`."""
    means = frame.group_by("profile", "variant").agg(pl.col("reward").mean(), calls=pl.len())
    means = means.filter(pl.col("calls") >= MIN_PULLS).sort("profile", "variant")
    found = []
    for (profile,), rows in means.group_by("profile", maintain_order=True):
        for one, other in combinations(rows.iter_rows(named=True), 2):
            better, worse = (one, other) if one["reward"] > other["reward"] else (other, one)
            margin = better["reward"] - worse["reward"]
            if margin > gap:
                pair = {"preferred": better["variant"], "rejected": worse["variant"], "margin": margin}
                found.append({"profile": profile, **pair})
    return found


def top(
    grid: Sequence[Slots], predicted: Floats, deviation: Floats, variants: Variants, parameters: Parameters
) -> list[dict[str, Any]]:
    """The best combinations. Confidence is one minus the width of the 95 % interval of the trees, or 0."""
    names = {tuple(slots.items()): name for name, slots in variants.variants.items()}
    order = (-predicted).argsort(kind="stable")[: parameters.top]
    return [
        {
            "rank": rank,
            "slots": grid[i],
            "variant": names.get(tuple(grid[i].items())),
            "predicted_reward": float(predicted[i]),
            "confidence": max(0.0, 1.0 - 2 * NORMAL_95 * float(deviation[i])),
            "recommendation": "high" if predicted[i] > parameters.high else "medium",
        }
        for rank, i in enumerate(order.tolist(), 1)
    ]


def performance(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """How each variant did, the best first. What no call told is null."""
    minutes = pl.col("duration_sec").sum() / 60
    rated = pl.col("barge_in_count").filter(pl.col("duration_sec").is_not_null())
    found = frame.group_by("variant").agg(
        events=pl.len(),
        average_reward=pl.col("reward").mean(),
        average_rating=pl.col("user_rating").mean(),
        success_rate=pl.col("resolution").mean(),
        average_duration_sec=pl.col("duration_sec").mean(),
        barge_ins_per_minute=pl.when(minutes > 0).then(rated.sum() / minutes),
        escalation_rate=pl.col("escalation").mean(),
    )
    return found.sort(["average_reward", "variant"], descending=[True, False]).to_dicts()


def recommendations(frame: pl.DataFrame) -> dict[str, Any]:
    """Promote the best variant that is known well enough; blacklist as the guard does."""
    settings = GuardSettings()
    known = statistics(frame["variant"].to_list(), frame["reward"].to_numpy())
    banned = sorted(blacklisted(known, settings))
    proven = {
        name: each for name, each in known.items() if each.pulls >= settings.new_pulls and name not in banned
    }
    best = max(proven, key=lambda name: (proven[name].mean, name), default=None)
    return {
        "promote": best,
        "promote_confidence": None if best is None else proven[best].confidence(settings.min_pulls),
        "blacklist": banned,
    }


def write(
    out: Path,
    frame: pl.DataFrame,
    best: Sequence[Mapping[str, Any]],
    importances: Mapping[str, float],
    parameters: Parameters,
) -> None:
    """Write top.json, top.yaml, preferences.jsonl and report.json."""
    (out / "top.json").write_bytes(orjson.dumps(best, option=orjson.OPT_INDENT_2))
    plain = orjson.loads(orjson.dumps(best))
    (out / "top.yaml").write_text(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
    pairs = preferences(frame, parameters.preference_gap)
    (out / "preferences.jsonl").write_bytes(b"".join(orjson.dumps(pair) + b"\n" for pair in pairs))
    document = {
        "data": data_summary(frame) | {"preferences": len(pairs)},
        "variants": performance(frame),
        "recommendations": recommendations(frame),
        "importances": dict(sorted(importances.items(), key=lambda item: -item[1])),
    }
    (out / "report.json").write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
