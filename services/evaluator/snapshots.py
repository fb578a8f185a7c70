"""Statistics of followed candidates on disk, with the offsets that they include."""

import os
import zipfile
from collections import deque
from dataclasses import fields
from pathlib import Path

import numpy as np
import orjson

from services.evaluator.pages import file_name
from services.evaluator.shadow import Shadow
from services.evaluator.sums import Sums
from shared.core.arrays import Floats
from shared.core.estimators.weights import Weights
from shared.wire.training import Candidate

VERSION = 3
_MOMENTS = [each.name for each in fields(Weights) if each.name != "histogram"]


def save(folder: Path, shadow: Shadow) -> None:
    """Write a candidate's statistics; they appear whole, by one rename. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = list(shadow.open)
    every = [shadow.total, *(shadow.open[key] for key in keys)]
    told = {
        "version": VERSION,
        "candidate": shadow.candidate.candidate_id,
        "metrics": shadow.metrics,
        "weighed": shadow.weigher.traits.digest,
        "first": list(shadow.first.items()),
        "next": list(shadow.next.items()),
        "reached": list(shadow.reached.items()),
        "left_out": shadow.left_out,
        "parts": shadow.parts,
        "due": list(shadow.due),
        "open": keys,
        "moments": [[[getattr(each, name) for name in _MOMENTS] for each in sums.weights] for sums in every],
    }
    path = _path(folder, shadow.candidate)
    making = path.with_suffix(".making")
    with making.open("wb") as file:
        np.savez(
            file,
            told=np.frombuffer(orjson.dumps(told), np.uint8),
            values=np.stack([sums.values for sums in every]),
            histograms=np.array([[each.histogram for each in sums.weights] for sums in every]),
        )
        file.flush()
        os.fsync(file.fileno())
    os.replace(making, path)


def restore(folder: Path, begun: Shadow, ends: dict[int, int]) -> Shadow:
    """The statistics that were saved of a shadow that has just begun; itself where there are none that fit:
    of another version, other metrics or weights, or a log that has not been written so far (`ends` by
    partition)."""
    try:
        with np.load(_path(folder, begun.candidate), allow_pickle=False) as found:
            told = orjson.loads(found["told"].tobytes())
            values, histograms = found["values"], found["histograms"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return begun  # none yet, or torn: everything is in the log
    if told["version"] != VERSION or told["candidate"] != begun.candidate.candidate_id:
        return begun
    if (
        told["weighed"] != begun.weigher.traits.digest
        or tuple(told["metrics"]) != begun.metrics
        or values.shape[1:] != begun.total.values.shape
    ):
        return begun
    next_offsets = dict(map(tuple, told["next"]))
    if next_offsets.keys() != ends.keys() or any(next_offsets[p] > ends[p] for p in ends):
        return begun
    total, *others = (
        Sums(each, list(map(_weights, moments, histogram)))
        for each, moments, histogram in zip(values, told["moments"], histograms, strict=True)
    )
    begun.first, begun.next = dict(map(tuple, told["first"])), next_offsets
    begun.reached = dict(map(tuple, told["reached"]))
    begun.total = total
    begun.open = dict(zip(map(tuple, told["open"]), others, strict=True))
    begun.left_out.update(told["left_out"])
    begun.parts = {decision_id: tuple(parts) for decision_id, parts in told["parts"].items()}
    begun.due = deque(map(tuple, told["due"]))
    return begun


def _weights(moments: list[float], histogram: Floats) -> Weights:
    return Weights(**dict(zip(_MOMENTS, moments, strict=True)), histogram=histogram)  # type: ignore[arg-type]


def forget(folder: Path, candidate: Candidate) -> None:
    """Remove the statistics of a candidate that is no longer followed. Raises OSError."""
    _path(folder, candidate).unlink(missing_ok=True)


def _path(folder: Path, candidate: Candidate) -> Path:
    return folder / f"{file_name(candidate.candidate_id)}.npz"
