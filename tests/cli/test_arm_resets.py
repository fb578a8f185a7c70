"""A variant is reset on a running loop: from then on only later decisions count, and the audit holds."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from shared.applications.registry import load
from shared.cli.addresses import Addresses
from shared.cli.audit.audit import audit
from shared.cli.audit.findings import INVARIANTS
from shared.cli.audit.journal import Ids, Journal
from shared.cli.audit.replay import replay
from shared.cli.running import running
from shared.cli.state import StateFolder
from tests.waiting import wait_for

VOICE = "voice_assistant"
CALLS = 60
"""Of a round."""


def decide(addresses: Addresses, turn: int) -> dict[str, str]:
    """Decisions of one round: variant by id."""
    body = [
        {
            "application": VOICE,
            "subject_id": f"s-{n}",
            "decision_id": f"d-{turn}-{n}",
            "context": {"profile": "it"},
        }
        for n in range(CALLS)
    ]
    reply = httpx.post(
        f"{addresses.url('decisions')}/v1/decisions/batch", json={"decisions": body}, timeout=20
    )
    assert reply.status_code == 200, reply.text
    return {each["decision_id"]: each["action"] for each in reply.json()["decisions"]}


def tell(addresses: Addresses, journal: Journal, rounds: dict[str, dict[str, Any]]) -> None:
    """Feedback about decisions: signals by id."""
    told = []
    for decision_id, signals in rounds.items():
        interaction_id = f"i-{len(journal.interactions.acknowledged)}-{decision_id}"
        journal.interactions.acknowledged.add(interaction_id)
        names = {"interaction_id": interaction_id, "decision_id": decision_id, "application": VOICE}
        told.append({**names, "type": "feedback", "attributes": signals})
    reply = httpx.post(
        f"{addresses.url('collector')}/v1/interactions", json={"interactions": told}, timeout=20
    )
    assert reply.status_code == 202, reply.text


def described(addresses: Addresses) -> dict[str, Any]:
    """What the decision API serves; nothing while it is away."""
    try:
        found: dict[str, Any] = httpx.get(
            f"{addresses.url('decisions')}/v1/policies/{VOICE}", timeout=20
        ).json()
        return found
    except httpx.TransportError:
        return {"rewards_learnt": 0, "resets": 0}


def kill_learner(state: StateFolder) -> None:
    """As a crash would; it is started again."""
    process = wait_for(lambda: state.recorded().get("learner"))
    os.kill(process.pid, signal.SIGKILL)


@pytest.mark.timeout(240)
def test_a_reset_variant_knows_its_later_calls_alone(tmp_path: Path) -> None:
    application, random = load()[VOICE], np.random.default_rng(0)
    journal = Journal(Ids(set()), Ids(set()))
    with running(tmp_path) as addresses:
        settings, state = addresses.broker_settings, StateFolder(tmp_path)
        before = decide(addresses, 0)
        tell(addresses, journal, {each: {"resolution": bool(random.random() < 0.5)} for each in before})
        wait_for(lambda: described(addresses)["rewards_learnt"] == CALLS)
        ((variant, _),) = Counter(before.values()).most_common(1)
        place = application.actions.index(variant)
        assert described(addresses)["mean_rewards"][place] is not None

        command = [sys.executable, "-m", "shared.cli", "reset-arm", VOICE, variant]
        where = ["--port-base", str(addresses.port_base), "--reason", "another prompt"]
        said = subprocess.run([*command, *where], capture_output=True, text=True, timeout=60)
        assert said.returncode == 0, said.stderr
        kill_learner(state)
        wait_for(lambda: described(addresses)["resets"] == len(described(addresses)["offsets"]))
        assert described(addresses)["mean_rewards"][place] is None
        old = {each: {"user_rating": 5} for each, chosen in before.items() if chosen == variant}
        tell(addresses, journal, old)  # corrections of what no longer counts
        wait_for(lambda: described(addresses)["rewards_learnt"] == CALLS + len(old))
        assert described(addresses)["mean_rewards"][place] is None

        after = decide(addresses, 1)
        kill_learner(state)
        later = {each: {"resolution": bool(random.random() < 0.5)} for each in after}
        tell(addresses, journal, later)
        wait_for(lambda: described(addresses)["rewards_learnt"] == 2 * CALLS + len(old))
        mean = described(addresses)["mean_rewards"][place]
        own = [0.6 * later[each]["resolution"] for each, chosen in after.items() if chosen == variant]
        journal.decisions.acknowledged.update(before, after)
        found = audit(settings, {VOICE: application}, journal)
        again = replay(settings, application)
    assert mean == (pytest.approx(np.mean(own)) if own else None)
    assert found.verdicts == dict.fromkeys(INVARIANTS, "holds")
    assert again.differences == []
    assert again.served_model == again.model
