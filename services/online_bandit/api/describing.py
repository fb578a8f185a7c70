"""What decides, as documents for people."""

from dataclasses import asdict
from typing import Any

from services.online_bandit.api.arms import ONLINE, Arms
from services.online_bandit.api.deployments import DeploymentStore
from services.online_bandit.api.served import ServedPolicy
from services.online_bandit.api.trained import TrainedPolicy
from shared.wire.rollouts import Deployment


def describe(policy: ServedPolicy, deployments: DeploymentStore) -> dict[str, Any]:
    """The online policy, and what is deployed beside it; times in ms since 1970."""
    name = policy.application
    deployment, killed = deployments.deployment(name), deployments.killed.get(name)
    arms = deployments.arms.get(name, ONLINE)
    return {
        "application": name,
        "name": policy.name,
        "version": policy.version,
        "offsets": list(policy.offsets),
        "rewards_learnt": policy.model.learnt - policy.resets,
        "resets": policy.resets,
        "kind": policy.model.configuration.kind,
        "learnt_at": policy.learnt_at,
        "served_since": policy.served_since,
        "mean_rewards": policy.mean_rewards,
        "arms": _arms(arms, policy),
        "deployment": None if deployment is None else _deployment(deployment),
        "problems": [problem._asdict() for problem in deployments.problems(name)],
        "killed": None if killed is None else asdict(killed),
    }


def _arms(arms: Arms, online: ServedPolicy) -> dict[str, Any]:
    """What really decides now, and for which share of subjects."""
    split = arms.split
    found = {
        "stable": {"policy": _name(arms.stable, online), "share": split.share_of("stable") if split else 1.0}
    }
    if split is not None:
        found["canary"] = {"policy": _name(split.canary, online), "share": split.share}
    return found


def _name(policy: TrainedPolicy | None, online: ServedPolicy) -> str:
    return online.name if policy is None else policy.name


def _deployment(deployment: Deployment) -> dict[str, Any]:
    """What should decide."""
    canary = deployment.canary
    return {
        "sequence": deployment.sequence,
        "at": deployment.at,
        "stage": deployment.stage,
        "share": deployment.share,
        "stable": asdict(deployment.stable),
        "canary": None if canary is None else asdict(canary),
        "blocked": list(deployment.blocked),
    }
