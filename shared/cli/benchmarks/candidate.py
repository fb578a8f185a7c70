"""A trained policy for the benchmarks' application, rolled out to half of the subjects."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import polars as pl
from kafka import KafkaProducer

from shared.algorithms.artefacts import train
from shared.algorithms.contract import Dataset, Source
from shared.algorithms.parameters import chosen
from shared.algorithms.registry import algorithms
from shared.broker.settings import BrokerSettings
from shared.cli.benchmarks import records
from shared.wire.rollouts import Deployed, Deployment

ALGORITHM = "linear"
ROWS, SEED = 10_000, 3
SHARE = 0.5
KEY = "benchmark"
"""Assigns the subjects."""


def roll_out(settings: BrokerSettings, folder: Path) -> None:
    """Train a candidate on noise, and deploy it beside the online policy. Raises KafkaError, OSError."""
    random = np.random.default_rng(SEED)
    frame = pl.DataFrame(
        {
            "decision_id": [f"d{n}" for n in range(ROWS)],
            "subject_id": [f"s{n}" for n in range(ROWS)],
            "time": np.arange(ROWS) * 1000,
            "context": random.standard_normal((ROWS, records.FEATURES)).tolist(),
            "action": random.choice(records.ACTION_NAMES, ROWS).tolist(),
            "propensity": np.full(ROWS, 1 / records.ACTIONS),
            "reward": random.standard_normal(ROWS),
        }
    )
    source = Source("noise", "0" * 64, ROWS)
    data = Dataset(records.APPLICATION, {"rewards": frame}, (source,), records.ACTION_NAMES)
    algorithm = algorithms()[ALGORITHM]
    declared = algorithm.declaration
    parameters = chosen(declared.Parameters, declared.PRESETS, "default", {}, {})
    artefact = train(algorithm, data, parameters, SEED, folder, lambda share, doing: None)
    deployment = Deployment(
        application=records.APPLICATION,
        sequence=1,
        at=time.time_ns() // 1_000_000,
        stable=Deployed("default"),
        canary=Deployed(artefact.id, ALGORITHM, str(artefact.folder), artefact.id),
        share=SHARE,
        stage="half",
        salt=f"{records.APPLICATION}-1",
    )
    producer = KafkaProducer(**settings.kafka_python(), acks="all")
    try:
        key = records.APPLICATION.encode()
        producer.send(settings.topic("deployments"), deployment.encode(), key=key).get()
    finally:
        producer.close()
