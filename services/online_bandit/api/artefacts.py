"""Artefacts to policies: verified wherever they are, and suited to their application."""

from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

from services.online_bandit.api.arms import Failure
from services.online_bandit.api.trained import TrainedPolicy, Unsuitable, suited
from shared.algorithms.artefacts import ArtefactError
from shared.algorithms.fetching import ArtefactCache, TooLarge, expected_id
from shared.algorithms.manifest import Manifest
from shared.algorithms.serving import is_served, policy_of
from shared.applications.contract import Application
from shared.telemetry.logging import logger
from shared.wire.rollouts import Deployed


class ArtefactStore:
    """Policies of artefacts; copies of remote ones lie in `folder` under their id.

    Methods block, and belong to worker threads.
    """

    def __init__(self, applications: Mapping[str, Application], folder: Path, limit: int) -> None:
        """Keep no artefact of more than `limit` bytes."""
        self._applications, self._cache = applications, ArtefactCache(folder, limit)

    def policy(self, application: str, deployed: Deployed) -> TrainedPolicy | Failure:
        """The policy, or why there is none. Only "unreachable" is worth another attempt."""
        try:
            return self._policy(self._applications[application], deployed)
        except (Unsuitable, TooLarge) as error:
            return Failure("not-suited", str(error))
        except ArtefactError as error:
            return Failure("not-verified", str(error))
        except Exception as error:  # storages of all kinds raise classes of their own
            logger(__name__).warning("artefact not loaded", artefact=deployed.artefact, exc_info=True)
            return Failure("unreachable", f"{deployed.artefact}: {type(error).__name__}: {error}")

    def prune(self, keep: Collection[str]) -> None:
        """Remove copies that are not to be kept, by id. Raises OSError."""
        self._cache.prune(keep)

    def clear_unfinished(self) -> None:
        """Remove what a process left that ended while it fetched; before the first fetch. Raises OSError."""
        self._cache.clear_unfinished()

    def _policy(self, application: Application, deployed: Deployed) -> TrainedPolicy:
        expected = expected_id(deployed.policy, deployed.manifest_sha256)
        artefact = self._cache.artefact(deployed.artefact, expected, partial(_check, application))
        return suited(deployed.policy, artefact.manifest.algorithm, policy_of(artefact), application)


def _check(application: Application, manifest: Manifest) -> None:
    """What is wrong is told before anything large is fetched."""
    if manifest.application != application.name:
        raise Unsuitable(f"it was trained for {manifest.application}")
    if not is_served(manifest.algorithm):
        raise Unsuitable(f"policies of {manifest.algorithm} are not served from files")
