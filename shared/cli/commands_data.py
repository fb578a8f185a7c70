"""topics, dead-letters, replay, verify-decision: what the log holds.

The cluster is the one that STREAMWHEEL_BROKER names (127.0.0.1:8009, the embedded one, if it names none).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from shared.cli.commands_loop import Applications
from shared.cli.output import BAD_USAGE, answer, fail, say

topics = typer.Typer(help="The loop's topics.", no_args_is_help=True)
dead_letters = typer.Typer(help="Records that no service could use, and why.", no_args_is_help=True)

Partitions = Annotated[int, typer.Option(help="Partitions of decisions, interactions and rewards.", min=1)]
Topic = Annotated[str | None, typer.Option(help="Only those that come from this topic.")]
Reason = Annotated[str | None, typer.Option(help="Only those that died for this reason.")]


@topics.command("list")
def topics_list() -> None:
    """Print the topics that the loop needs, one JSON object for each."""
    from shared.broker.settings import BrokerSettings
    from shared.broker.topics import TOPICS

    settings = BrokerSettings()
    for each in TOPICS.values():
        answer(
            {
                "topic": settings.topic(each.name),
                "partitions": each.partitions,
                "settings": dict(each.settings),
            }
        )


@topics.command("ensure")
def topics_ensure(partitions: Partitions = 4) -> None:
    """Create the topics that are missing; exit status 1 if one that exists is not as the loop needs it."""
    from dataclasses import asdict

    from shared.broker.readiness import wait_until_ready
    from shared.broker.settings import BrokerSettings
    from shared.broker.topics import ensure_topics

    settings = BrokerSettings()
    wait_until_ready(settings)
    report = ensure_topics(settings, partitions)
    answer(asdict(report))
    for mismatch in report.mismatches:
        say(f"topic {mismatch}")
    if not report.sound:
        raise typer.Exit(1)


@topics.command("mismatches")
def topics_mismatches(partitions: Partitions = 4) -> None:
    """Compare the cluster's topics with what the loop needs; exit status 1 if they differ."""
    from shared.broker.settings import BrokerSettings
    from shared.broker.topics import compare_topics

    found = compare_topics(BrokerSettings(), partitions)
    answer({"mismatches": list(found)})
    for mismatch in found:
        say(f"topic {mismatch}")
    if found:
        raise typer.Exit(1)


@dead_letters.command("list")
def dead_letters_list(topic: Topic = None, reason: Reason = None) -> None:
    """Print what each dead letter was and why it died, one JSON object for each."""
    from shared.broker.settings import BrokerSettings
    from shared.cli.dead_letters import read
    from shared.cli.topic_log import open_log

    settings = BrokerSettings()
    with open_log(settings) as log:
        for letter in read(log, settings.topic_prefix):
            if topic in (None, letter.topic) and reason in (None, letter.reason):
                answer(letter.document())


@dead_letters.command("show")
def dead_letters_show(
    letter_id: Annotated[str, typer.Argument(help="Its id in the list: partition@offset.", metavar="ID")],
) -> None:
    """Print one dead letter with its bytes (hex), and its fields if it can be read now."""
    from shared.broker.settings import BrokerSettings
    from shared.cli.dead_letters import read
    from shared.cli.topic_log import open_log
    from shared.wire.codec import WireError

    settings = BrokerSettings()
    with open_log(settings) as log:
        letter = next((each for each in read(log, settings.topic_prefix) if each.id == letter_id), None)
    if letter is None:
        fail(f"there is no dead letter {letter_id}; `streamwheel dead-letters list` shows those there are")
    record, unreadable = None, None
    try:
        record = letter.record()
    except (WireError, ValueError) as error:
        unreadable = str(error)
    value = None if letter.value is None else letter.value.hex()
    answer({**letter.document(), "value": value, "record": record, "unreadable": unreadable})


@dead_letters.command("replay")
def dead_letters_replay(
    letter_ids: Annotated[
        list[str] | None, typer.Argument(help="Ids from the list.", metavar="[ID]...")
    ] = None,
    topic: Topic = None,
    reason: Reason = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
) -> None:
    """Put dead letters back where they came from, byte for byte, if they can be read now.

    Choose them by id, by --topic, by --reason, or --all. Exit status 1 if one could not be put back.
    """
    from shared.broker.settings import BrokerSettings
    from shared.cli.dead_letters import put_back, read
    from shared.cli.topic_log import open_log

    if not (letter_ids or topic or reason or every):
        fail("say which: ids from `streamwheel dead-letters list`, --topic, --reason or --all", BAD_USAGE)
    settings = BrokerSettings()
    with open_log(settings) as log:
        found = [
            letter
            for letter in read(log, settings.topic_prefix)
            if (not letter_ids or letter.id in letter_ids)
            and topic in (None, letter.topic)
            and reason in (None, letter.reason)
        ]
    if unknown := sorted(set(letter_ids or ()) - {letter.id for letter in found}):
        fail(f"there is no dead letter {', '.join(unknown)}", BAD_USAGE)
    written, refused = put_back(settings, found)
    answer({"replayed": written, "refused": refused})
    for letter_id, why in refused.items():
        say(f"{letter_id}: {why}")
    if refused:
        raise typer.Exit(1)


def replay(
    application: Annotated[str, typer.Argument(help="Name of the application.")],
    applications: Applications = None,
) -> None:
    """Work out an application's rewards and model again from offset 0, and compare them with the stored ones.

    Prints digests (sha256) of the reward table and of the model; exit status 1 if they are not the stored.
    """
    from shared.broker.settings import BrokerSettings
    from shared.cli.audit.replay import replay as run
    from shared.cli.commands_work import chosen_application

    found = run(BrokerSettings(), chosen_application(application, applications))
    answer(found.document())
    for difference in found.differences:
        say(difference)
    if not found.matches:
        raise typer.Exit(1)


def verify_decision(
    file: Annotated[Path, typer.Argument(help="JSON: replies of the decision API; - is standard input.")],
    in_log: Annotated[
        bool,
        typer.Option(
            "--log",
            help="Hold them against the cluster too: arm, share, propensity and mixture are worked out from "
            "deployments, artefacts and rewards; arms with STREAMWHEEL_ASSIGNMENT_KEY.",
        ),
    ] = False,
    applications: Applications = None,
) -> None:
    """Check that logged probabilities are a distribution, and that the draw gives the action.

    The file has one decision or reply on each line, or is one reply as a whole (of /v1/decisions/batch too).
    One line of JSON for each decision; exit status 1 if one is not right.
    """
    from shared.cli.verifying import logged_problems, read_decisions, rollout_problems
    from shared.core.verify import problems

    try:
        decisions = read_decisions(sys.stdin.read() if file == Path("-") else file.read_text())
    except OSError as error:
        fail(f"{file}: {error.strerror}", BAD_USAGE)
    except ValueError as error:
        fail(f"{file}: {error}", BAD_USAGE)
    failed = False
    logged = logged_problems(decisions, applications) if in_log else {}
    for decision in decisions:
        found = problems(decision) + rollout_problems(decision)
        found += logged.get(str(decision.get("decision_id")), [])
        failed |= bool(found)
        answer({"decision_id": decision.get("decision_id"), "verified": not found, "problems": found})
    if failed:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add these commands to the application."""
    app.add_typer(topics, name="topics")
    app.add_typer(dead_letters, name="dead-letters")
    app.command()(replay)
    app.command("verify-decision")(verify_decision)
