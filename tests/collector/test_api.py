"""The API over a producer of a few lines: acknowledgement, honest failure, and no body that breaks it."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st

from services.collector.api import Collector, create_app
from shared.broker.producers import BufferFull, Unavailable
from shared.telemetry.health import Health
from shared.telemetry.metrics import Metrics
from shared.telemetry.tracing import from_headers
from shared.wire.codec import decode
from shared.wire.schemas import schema
from tests.collector.events import NOW, decision, interaction, rules

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "optdigits", "7", "$x", "ü"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["value", "", "type"]), inner)
    ),
    max_leaves=10,
)


class Log:
    """A producer that keeps what it is given, or raises its `problem`."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.problem = problem
        self.records: list[tuple[str, bytes, bytes, Any]] = []

    async def send_many(
        self, topic: str, records: Sequence[tuple[bytes, bytes]], headers: Sequence[tuple[str, bytes]] = ()
    ) -> list[None]:
        await asyncio.sleep(0)
        if self.problem:
            raise self.problem
        self.records += [(topic, key, value, headers) for key, value in records]
        return [None] * len(records)


def collector(log: Log, metrics: Metrics | None = None, **changes: Any) -> httpx.AsyncClient:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield

    made = Collector(
        rules=rules(**changes),
        producer=log,
        metrics=metrics or Metrics(),
        topic=lambda name: f"p-{name}",
        clock=lambda: NOW,
        new_id=lambda: "generated",
        random=Random(1),
    )
    app = create_app(made, Health(lambda: 0.0), lifespan)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def test_accepted_events_are_in_the_log_before_the_reply() -> None:
    log, metrics = Log(), Metrics()
    async with collector(log, metrics) as http:
        reply = await http.post("/v1/interactions", json={"interactions": [interaction()] * 2})
        logged = await http.post("/v1/decisions/log", json=decision())
    assert (reply.status_code, reply.json()) == (202, {"accepted": 2})
    assert (logged.status_code, logged.json()) == (202, {"accepted": 1})
    assert [topic for topic, *_ in log.records] == ["p-interactions", "p-interactions", "p-decisions"]
    assert metrics.registry.get_sample_value("streamwheel_records_out_total", {"topic": "interactions"}) == 2


async def test_one_invalid_event_keeps_the_whole_batch_out() -> None:
    log, metrics = Log(), Metrics()
    async with collector(log, metrics) as http:
        reply = await http.post(
            "/v1/interactions", json={"interactions": [interaction(), interaction(type="")]}
        )
    assert reply.status_code == 422
    [problem] = reply.json()["errors"]
    assert (problem["index"], problem["field"]) == (1, "type")
    assert log.records == []
    assert (
        metrics.registry.get_sample_value("streamwheel_events_refused_total", {"topic": "interactions"}) == 1
    )


@pytest.mark.parametrize(
    ("problem", "events", "words"),
    [
        (BufferFull("full"), 3, "nothing is written"),
        (Unavailable("away", maybe_written=False), 1, "nothing is written"),
        (Unavailable("late", maybe_written=True), 1, "some may be written"),
        (Unavailable("away", maybe_written=False), 3, "some may be written"),
    ],
)
async def test_a_failure_is_told_honestly_with_the_ids_to_send_again(
    problem: Exception, events: int, words: str
) -> None:
    log, metrics = Log(problem), Metrics()
    items = [interaction(interaction_id=f"i-{i}") for i in range(events)]
    del items[0]["interaction_id"]
    async with collector(log, metrics) as http:
        reply = await http.post("/v1/interactions", json={"interactions": items})
    body = reply.json()
    assert (reply.status_code, reply.headers["Retry-After"], body["accepted"]) == (503, "1", 0)
    assert body["ids"] == ["generated", *(f"i-{i}" for i in range(1, events))]
    assert words in body["errors"][0]["message"]
    labels = {"topic": "interactions", "reason": type(problem).__name__}
    found = metrics.registry.get_sample_value("streamwheel_events_unavailable_total", labels)
    assert found == events


async def test_the_trace_goes_on_as_a_child_span() -> None:
    log, parent = Log(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with collector(log) as http:
        for header in ({"traceparent": parent}, {"traceparent": "garbage"}, {}):
            await http.post("/v1/interactions", json={"interactions": [interaction()]}, headers=header)
    spans = [from_headers(headers) for *_, headers in log.records]
    assert spans[0] is not None
    assert spans[0].trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert spans[0].traceparent != parent
    assert spans[1:] == [None, None]


async def test_bodies_above_the_limit_are_refused() -> None:
    log = Log()
    async with collector(log, body_limit=200) as http:
        refused = await http.post("/v1/interactions", json={"interactions": [interaction()] * 5})
    assert (refused.status_code, log.records) == (413, [])


async def test_keys_are_asked_for_where_there_are_keys() -> None:
    async with collector(Log(), api_keys="one,two") as http:
        body = {"interactions": [interaction()]}
        assert (await http.post("/v1/interactions", json=body)).status_code == 401
        allowed = await http.post("/v1/interactions", json=body, headers={"Authorization": "Bearer two"})
        assert allowed.status_code == 202


async def test_the_openapi_page_describes_both_bodies() -> None:
    async with collector(Log()) as http:
        paths = (await http.get("/openapi.json")).json()["paths"]
        assert (await http.get("/docs")).status_code == 200
    for route, name in (("/v1/interactions", "interactions"), ("/v1/decisions/log", "decisions")):
        content = paths[route]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert name in content["properties"]


def changed(event: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """`event` with some of its fields replaced by any JSON."""
    fields = st.sampled_from(
        [*sorted(event), "attributes", "occurred_at", "probabilities", "actions", "policy"]
    )
    return st.dictionaries(fields, JSON, max_size=2).map(lambda changes: {**event, **changes})


BODIES = st.one_of(
    st.binary(max_size=50),
    JSON.map(json.dumps).map(str.encode),
    *(
        st.fixed_dictionaries({name: st.lists(changed(event), max_size=3) | JSON}).map(
            lambda body: json.dumps(body).encode()  # with NaN and the infinities
        )
        for name, event in (("interactions", interaction()), ("decisions", decision()))
    ),
)


@given(body=BODIES, route=st.sampled_from(["/v1/interactions", "/v1/decisions/log"]))
@settings(max_examples=300)
def test_no_body_breaks_it_and_only_accepted_ones_are_written(body: bytes, route: str) -> None:
    async def send() -> None:
        log = Log()
        async with collector(log) as http:
            reply = await http.post(route, content=body)
        assert reply.status_code in (202, 400, 422), reply.text
        if reply.status_code != 202:
            assert reply.json()["errors"]
            assert log.records == []
            return
        assert reply.json() == {"accepted": len(log.records)}
        for topic, key, value, _ in log.records:
            record = decode(schema(topic.removeprefix("p-")), value)
            assert record["decision_id"].encode() == key

    asyncio.run(send())


@pytest.mark.parametrize("status", [405, 404])
async def test_other_requests_have_the_same_shape_of_error(status: int) -> None:
    async with collector(Log()) as http:
        reply = await http.get("/v1/interactions" if status == 405 else "/v1/nothing")
    assert reply.status_code == status
    assert orjson.loads(reply.content)["errors"]
