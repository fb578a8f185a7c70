"""The evaluator on a real Kafka: every candidate ends as exactly one evaluation on what is logged."""

from pathlib import Path

from shared.broker.settings import BrokerSettings
from tests.evaluator.processes import evaluating, judged, put
from tests.evaluator.world import applications, artefact, candidate, give, policy, records


async def test_a_better_policy_passes_and_a_worse_one_fails(topics: BrokerSettings, tmp_path: Path) -> None:
    shop = applications(tmp_path / "applications")["shop"]
    await give(topics, records(shop, 1200))
    better, worse = (artefact(tmp_path / "made", policy(slope)) for slope in (1.0, -1.0))
    async with evaluating(topics, tmp_path) as (process, http):
        await put(topics, "candidates", candidate(better), candidate(worse))
        first, second = await judged(topics, 2)
        page = (await http.get(f"/v1/evaluations/shop/{better.id}/report")).text
        listed = (await http.get("/v1/evaluations/shop")).json()["evaluations"]
        assert await process.stop() == 0
    assert (first.candidate_id, first.verdict, first.reasons) == (better.id, "pass", ())
    assert (second.candidate_id, second.verdict) == (worse.id, "fail")
    (found,) = first.metrics
    assert found.name == "reward"
    assert found.estimator == "dr"
    assert found.low < 0.95 < found.high  # its floor of .1 takes the wrong action in one of twenty
    assert abs(found.baseline - 0.5) < 0.05
    assert first.decisions == 1200
    assert sum(span.next - span.first for span in first.data) >= 1200
    assert "<svg" in page
    assert first.report.endswith(f"/v1/evaluations/shop/{better.id}/report")
    assert {each["candidate_id"] for each in listed} == {better.id, worse.id}
