"""Reports on disk: one page for each candidate."""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from services.evaluator.judging import Judged
from services.evaluator.language import CHANCE, JUDGE_ACCURACY, JudgedRows
from shared.evaluation.report import write_held_out, write_report
from shared.wire.rollouts import Evaluation

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
        study, found = judged.study, judged.evaluation
        if study is None:
            return ""
        reasons = [(each.name, each.detail) for each in found.reasons]
        return self._written(
            found,
            lambda path: write_report(
                path, study, judged.settings, _title(found), verdict=found.verdict, reasons=reasons
            ),
        )

    def write_rows(self, judged: JudgedRows, alpha: float) -> str:
        """The same for a language model that was judged by held-out rows. Raises OSError."""
        rows, found = judged.rows, judged.evaluation
        if rows is None:
            return ""
        chances = {JUDGE_ACCURACY: CHANCE}
        return self._written(
            found, lambda path: write_held_out(path, rows, found, _title(found), chances, alpha)
        )

    def _written(self, found: Evaluation, write: Callable[[Path], None]) -> str:
        path = self.path(found.application, found.candidate_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        making = path.with_suffix(".making")
        write(making)
        os.replace(making, path)
        return f"{self._address}/v1/evaluations/{found.application}/{found.candidate_id}/report"


def _title(found: Evaluation) -> str:
    return f"{found.application} {found.candidate_id[:12]}"
