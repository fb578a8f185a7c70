"""A training's progress on the terminal."""

from __future__ import annotations

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from shared.cli.output import console
from shared.cli.topic_log import Log
from shared.cli.training_log import follow
from shared.wire.training import Candidate, Trigger


def follow_with_bar(log: Log, asked: Trigger, begin: int) -> Candidate:
    """As `training_log.follow`, with a bar on stderr."""
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console()) as bar:
        task = bar.add_task(f"{asked.application}: waiting", total=1.0)

        def seen(candidate: Candidate) -> None:
            said = candidate.message or candidate.status
            bar.update(task, completed=candidate.progress, description=f"{candidate.application}: {said}")

        return follow(log, asked.request_id, begin, seen)
