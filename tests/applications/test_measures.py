"""Rates and amounts of decisions, which guards look at."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from services.reward_calculator.handlers import Handlers
from shared.applications.contract import INTERACTION_COLUMNS
from shared.applications.generic.application import GenericApplication
from shared.applications.measures import measured
from shared.applications.settings import ApplicationSettings, MeasureSettings
from shared.wire.codec import encode
from shared.wire.schemas import schema

MEASURES = (
    MeasureSettings(name="error_rate", types=("error", "timeout")),
    MeasureSettings(name="latency_ms", types=("shown",), attribute="latency_ms"),
    MeasureSettings(name="paid", types=("paid",), attribute="value"),
)
SHOP: dict[str, Any] = {
    "application": "shop",
    "actions": ["a", "b"],
    "measures": [each.model_dump() for each in MEASURES],
}


def interaction(kind: str, value: float | None = None, **numbers: float) -> dict[str, Any]:
    named = [{"name": name, "number": number, "text": None} for name, number in numbers.items()]
    return {"type": kind, "value": value, "attributes": named}


def test_a_rate_is_one_where_it_happened_and_an_amount_is_the_largest_one() -> None:
    rows = [
        (0, interaction("shown", latency_ms=120)),
        (0, interaction("shown", latency_ms=80, size=1e9)),
        (0, interaction("error")),
        (0, interaction("timeout")),
        (1, interaction("shown")),
        (1, interaction("paid", 5.0, latency_ms=9e9)),
        (3, interaction("paid")),
    ]
    frame = pl.DataFrame([row for _, row in rows], schema=dict(INTERACTION_COLUMNS), strict=False)
    found = measured(MEASURES, frame, np.array([owner for owner, _ in rows]), 4)
    assert found["error_rate"].tolist() == [1.0, 0.0, 0.0, 0.0]
    np.testing.assert_array_equal(found["latency_ms"], [120.0, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(found["paid"], [np.nan, 5.0, np.nan, np.nan])


def test_the_reward_calculator_writes_them_beside_the_rewards_own_components() -> None:
    shop = GenericApplication(ApplicationSettings.model_validate(SHOP))
    ids = {"interaction_id": "i", "decision_id": "d", "application": "shop", "occurred_at": None}
    raws = [
        encode(schema("interactions"), ids | each)
        for each in (interaction("error", 2.0), interaction("shown", latency_ms=7))
    ]
    reward, components = Handlers({"shop": shop}, 4).evaluate(0, raws, np.array([0, 0]), [b""])
    assert reward.tolist() == [2.0]
    assert {name: values.tolist()[0] for name, values in components.items() if name != "paid"} == {
        "sum": 2.0,
        "error_rate": 1.0,
        "latency_ms": 7.0,
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reward": {"emission": "on_interaction"}}, "need reward.emission to be on_close"),
        ({"measures": SHOP["measures"][:1] * 2}, "error_rate: given more than once"),
        ({"measures": [{"name": "x", "types": []}]}, "at least 1 item"),
        ({"guards": [{"metric": "latency_ms", "quantile": 0.95}]}, "at_most, which must be given"),
        ({"guards": [{"metric": "latency_ms", "quantile": 95, "at_most": 1}]}, "less than 1"),
    ],
)
def test_what_makes_no_measure_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ApplicationSettings.model_validate(SHOP | changes)


def test_measures_are_named_where_rewards_come_on_interaction() -> None:
    """A reward is revised when its number changes, which an error need not do."""
    with pytest.raises(ValidationError) as told:
        ApplicationSettings.model_validate(SHOP | {"reward": {"emission": "on_interaction"}})
    assert told.value.errors()[0]["ctx"]["key"] == "measures"
