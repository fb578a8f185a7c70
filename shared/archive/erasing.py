"""Erasing a subject: files written anew, candidates trained on its rewards listed."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import starmap

from shared.archive import tombstones
from shared.archive.archive import Archive
from shared.archive.tombstones import Erased, Tombstone
from shared.wire.training import Candidate

_FOUND = ("application", "partition", "offset", "decision_time")


@dataclass(frozen=True)
class Erasure:
    """What an erasure did: rewards that are gone, and how many files were written anew or removed."""

    tombstone: Tombstone
    files: int

    def affected(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """Those that were trained on erased rewards: started before the erasure on ranges that held them."""
        return [candidate for candidate in candidates if _trained_on(candidate, self.tombstone)]


def erase(archive: Archive, subject_id: str, application: str | None, before: int) -> Erasure:
    """Erase the rewards of a subject's decisions before a time (milliseconds), of one application or of all.

    Can be cut off at any moment and asked for again. Raises OSError.
    """
    asked = Tombstone(subject_id, application, before)
    for known in tombstones.read(archive.storage):
        if known.name == asked.name:
            asked = replace(known, before=max(before, known.before))
    rewards = {row[:4]: row for row in asked.rewards}
    holding = []
    for part in archive.parts(application):
        found = archive.load(part, [*_FOUND, "subject_id"]).filter(asked.rows()).select(_FOUND)
        if found.height:
            holding.append(part)
            rewards |= {
                row[:4]: row for row in starmap(Erased, found.with_columns(erased_at=before).iter_rows())
            }
    tombstone = replace(asked, rewards=tuple(sorted(rewards.values())))
    # The tombstone comes first: from now on nothing of the subject is archived.
    tombstones.write(archive.storage, tombstone)
    archive.rewrite(holding, [tombstone])
    return Erasure(tombstone, len(holding))


def _trained_on(candidate: Candidate, tombstone: Tombstone) -> bool:
    return candidate.status == "trained" and any(
        reward.application == candidate.application
        and reward.erased_at > (candidate.started_at or 0)
        and reward.decision_time >= candidate.decided_from
        and any(
            span.partition == reward.partition and span.first <= reward.offset < span.next
            for span in candidate.lineage
        )
        for reward in tombstone.rewards
    )
