"""trigger, jobs, retraining, experiment, erase: ask the trainer, and see what came of it.

Requests go through the topics, so any team's trainer may answer them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shared.cli.commands_loop import Applications, PortBase
from shared.cli.output import BAD_USAGE, answer, fail, say

if TYPE_CHECKING:
    from shared.cli.topic_log import Log
    from shared.wire.training import Trigger

STANDING_S = 60.0
"""The newest files of the archive are read."""
ERASE_S = 600.0
"""Every file with a reward of the subject is written anew."""


def trigger(
    application: Annotated[str, typer.Argument(help="Name of the application.")],
    algorithm: Annotated[str | None, typer.Option(help="Which one; the application's own choice.")] = None,
    preset: Annotated[str | None, typer.Option(help="A named set of hyper-parameters.")] = None,
    parameters: Annotated[str, typer.Option(help="Hyper-parameters as a JSON object.")] = "{}",
    days: Annotated[float | None, typer.Option(help="Only decisions of so many days.", min=0)] = None,
    seed: Annotated[int | None, typer.Option(help="Equal seeds give equal candidates.", min=0)] = None,
    detail: Annotated[str, typer.Option(help="Why, for those who read it later.")] = "",
    follow: Annotated[
        bool, typer.Option("--follow", help="Show its progress, wait for the candidate.")
    ] = False,
    applications: Applications = None,
) -> None:
    """Ask for a training: writes a request to retrain-triggers and prints its id.

    With --follow it prints the candidate instead; exit status 1 if the request ends otherwise than trained.
    """
    from shared.broker.settings import BrokerSettings
    from shared.cli.commands_work import chosen_application
    from shared.cli.topic_log import open_log
    from shared.cli.training_log import CANDIDATES, publish

    chosen_application(application, applications)
    asked = _asked(application, algorithm, preset, _object(parameters), days, seed, detail)
    settings = BrokerSettings()
    with open_log(settings) as log:
        begin = log.end(CANDIDATES, 0)
        publish(settings, asked)
        if not follow:
            answer({"request_id": asked.request_id})
            return
        _follow(log, asked, begin)


def _asked(
    application: str,
    algorithm: str | None,
    preset: str | None,
    parameters: dict[str, Any],
    days: float | None,
    seed: int | None,
    detail: str,
) -> Trigger:
    import getpass
    import time
    from uuid import uuid4

    from shared.wire.training import Trigger

    return Trigger(
        request_id=str(uuid4()),
        application=application,
        reason="manual",
        requested_by=getpass.getuser(),
        requested_at=time.time_ns() // 1_000_000,
        algorithm=algorithm,
        preset=preset,
        parameters=parameters,
        days=days,
        seed=seed,
        detail=detail,
    )


def _object(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        fail(f"--parameters: no JSON: {error}", BAD_USAGE)
    if not isinstance(document, dict):
        fail("--parameters: not a JSON object", BAD_USAGE)
    return document


def _follow(log: Log, asked: Trigger, begin: int) -> None:
    from shared.cli.training_bar import follow_with_bar
    from shared.cli.training_log import document

    ended = follow_with_bar(log, asked, begin)
    answer(document(ended))
    if ended.status != "trained":
        fail(f"{ended.status}: {ended.reason}")


def jobs(
    application: Annotated[str | None, typer.Option(help="Only those of this application.")] = None,
) -> None:
    """Print every request to train that the topics have and how it stands, one JSON object for each."""
    from shared.broker.settings import BrokerSettings
    from shared.cli.topic_log import open_log
    from shared.cli.training_log import jobs as read

    with open_log(BrokerSettings()) as log:
        for each in read(log):
            if application in (None, each["application"]):
                answer(each)


def retraining(
    application: Annotated[str, typer.Argument(help="Name of the application.")],
    port_base: PortBase = 8000,
) -> None:
    """Print how many samples are there and new, whether a training is due, and how the last one went."""
    answer(_asked_of_trainer(f"/v1/retrain/{application}", port_base))


def experiment(
    application: Annotated[str, typer.Argument(help="Name of the application.")],
    port_base: PortBase = 8000,
) -> None:
    """Print what its test of variants shows: means, differences, intervals that always hold, verdicts."""
    answer(_asked_of_trainer(f"/v1/experiments/{application}", port_base))


def _asked_of_trainer(path: str, port_base: int) -> Any:
    import httpx

    from shared.cli.addresses import Addresses
    from shared.cli.status import api_key

    url = f"{Addresses(port_base).url('trainer')}{path}"
    try:
        reply = httpx.get(url, headers=api_key(), timeout=STANDING_S)
    except httpx.TransportError as error:
        fail(f"the trainer at {url}: {error}")
    if reply.status_code != httpx.codes.OK:
        fail(f"{reply.status_code}: {reply.text}", BAD_USAGE if reply.is_client_error else 1)
    return reply.json()


def erase(
    subject: Annotated[str, typer.Argument(help="The subject's id.")],
    application: Annotated[str | None, typer.Option(help="Only this application's rewards.")] = None,
    port_base: PortBase = 8000,
) -> None:
    """Erase a subject from the archive of rewards, and list the candidates that were trained on it."""
    from urllib.parse import quote

    import httpx

    from shared.cli.addresses import Addresses
    from shared.cli.status import api_key

    url = f"{Addresses(port_base).url('trainer')}/v1/subjects/{quote(subject, safe='')}"
    asked = {} if application is None else {"application": application}
    reply = httpx.delete(url, params=asked, headers=api_key(), timeout=ERASE_S)
    if reply.status_code != httpx.codes.OK:
        fail(f"{reply.status_code}: {reply.text}", BAD_USAGE if reply.is_client_error else 1)
    found = reply.json()
    answer(found)
    say(f"{found['rewards']} rewards are erased; {len(found['candidates'])} candidates were trained on them")


def register(app: typer.Typer) -> None:
    """Add these commands to the application."""
    for command in (trigger, jobs, retraining, experiment, erase):
        app.command()(command)
