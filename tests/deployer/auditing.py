"""The promises about rollouts, checked by reading the topics by brute force."""

from collections.abc import Sequence

from shared.wire.rollouts import Deployment, DeploymentEvent

ASIDE = {"held", "refused", "killed", "revived", "reset", "degraded", "recovered"}
ENDS = {"aborted", "superseded", "expired", "rolled-back"}


def check(events: Sequence[DeploymentEvent], records: Sequence[Deployment], shares: Sequence[float]) -> None:
    """At most one rollout, stages never skipped, every change audited once and deployed as audited."""
    moves = [each for each in events if each.what not in ASIDE]
    assert [each.sequence for each in moves] == list(range(1, len(moves) + 1))
    assert [each.event_id for each in moves] == [f"{each.application}-{each.sequence}" for each in moves]
    running, stage, at = "", -1, 0
    for event in moves:
        assert event.at >= at
        at = event.at
        if event.what == "started":
            assert not running
            running, stage = event.policy, 0
        elif event.what in ("advanced", "stable"):
            assert event.policy == running
            stage += 1
            assert (event.what == "stable") == (stage == len(shares))
        if event.what in ENDS or event.what == "stable":
            assert event.policy == running
            running, stage = "", -1
        assert event.share == (shares[stage] if running else 0.0)
    told = {each.sequence: each for each in moves}
    assert [each.sequence for each in records] == sorted(each.sequence for each in records)
    for record in records:
        if record.sequence:
            event = told[record.sequence]
            assert (record.share, record.stable.policy) == (event.share, event.stable)
            assert (record.canary is None) == (record.stage == "")
    assert max((each.sequence for each in records), default=0) == len(moves)
