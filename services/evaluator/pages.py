"""Reports on disk: one page for each candidate."""

import hashlib
import os
import re
from pathlib import Path

from services.evaluator.judging import Judged
from shared.evaluation.report import write_report

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,128}")


def file_name(candidate_id: str) -> str:
    """A name for files of a candidate, whatever others take for an id."""
    plain = _PLAIN.fullmatch(candidate_id)
    return candidate_id if plain else hashlib.sha256(candidate_id.encode()).hexdigest()


class Pages:
    """Pages under a folder, read at `address`."""

    def __init__(self, folder: Path, address: str) -> None:
        self._folder, self._address = folder, address

    def path(self, application: str, candidate_id: str) -> Path:
        """Where a candidate's page lies."""
        return self._folder / application / f"{file_name(candidate_id)}.html"

    def write(self, judged: Judged) -> str:
        """Write the page of an evaluation; its address, empty where there is nothing to show.

        The page appears whole, by one rename. Raises OSError.
        """
        if judged.study is None:
            return ""
        found = judged.evaluation
        path = self.path(found.application, found.candidate_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        making = path.with_suffix(".making")
        write_report(
            making,
            judged.study,
            judged.settings,
            f"{found.application} {found.candidate_id[:12]}",
            verdict=found.verdict,
            reasons=[(each.name, each.detail) for each in found.reasons],
        )
        os.replace(making, path)
        return f"{self._address}/v1/evaluations/{found.application}/{found.candidate_id}/report"
