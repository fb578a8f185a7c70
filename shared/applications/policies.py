"""The policy that an application learns: its name and its untrained learner, the same in every process."""

import json
from hashlib import blake2b

from shared.applications.contract import Application
from shared.core.policies.learner import Learner


def policy_name(application: Application) -> str:
    """`<name in the settings>@<16 hex digits>`.

    The digits are a digest of all that statistics depend on: hyper-parameters, features and actions. Whoever
    changes one of them starts another policy; the old one's statistics are left alone.
    """
    policy = application.settings.policy
    content = {
        "configuration": policy.configuration.identity(dynamic=application.action_width > 0),
        "widths": [application.context_width, application.action_width],
        "actions": application.actions,
        **application.settings.model_dump(mode="json", include={"features"}),
    }
    digest = blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=8).hexdigest()
    return f"{policy.name}@{digest}"


def new_learner(application: Application, *, track_deltas: bool = False) -> Learner:
    """A learner of this application's policy that has learnt nothing."""
    return Learner(
        application.settings.policy.configuration,
        width=application.context_width,
        actions=max(1, len(application.actions)),
        action_width=application.action_width,
        track_deltas=track_deltas,
    )
