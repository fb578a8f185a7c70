"""The trainer on a real Kafka: every request ends as exactly one candidate."""

from pathlib import Path

from shared.algorithms import artefacts
from shared.archive.archive import Archive
from shared.archive.reading import read_rewards
from shared.broker.settings import BrokerSettings
from tests.trainer.processes import answers, applications, ask, give_rewards, request, training


async def test_a_request_becomes_a_candidate_whose_artefact_and_data_can_be_verified(
    topics: BrokerSettings, tmp_path: Path
) -> None:
    shop = applications(tmp_path / "applications")["shop"]
    await give_rewards(topics, shop, 400)
    async with training(topics, tmp_path) as (process, _):
        await ask(topics, request("r-1", parameters={"folds": 3}))
        (found,) = await answers(topics, 1)
        assert await process.stop() == 0
    assert (found.request_id, found.status, found.reason) == ("r-1", "trained", "")
    made = artefacts.load(Path(found.artefact), found.candidate_id)
    assert made.manifest.parameters["folds"] == 3 == found.parameters["folds"]
    assert dict(found.metrics) == made.manifest.metrics
    rows, sources = read_rewards(
        Archive(process.state / "archive"), "shop", found.lineage, found.decided_from
    )
    assert rows.height == found.rows == 400
    assert [(each.file, each.sha256, each.rows) for each in made.manifest.lineage] == [
        (each.file, each.sha256, each.rows) for each in sources
    ]
