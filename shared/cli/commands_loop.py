"""up, down, status, demo: a whole loop on this machine.

Commands import what they need when they run, so that `--help` answers at once.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from shared.cli.output import answer, fail, say

State = Annotated[Path, typer.Option(help="Folder for data, logs and pid files.", file_okay=False)]
PortBase = Annotated[int, typer.Option(help="First port; services listen on the ten after it.", min=1)]
Applications = Annotated[
    Path | None,
    typer.Option(help="Folder of your own YAML applications.", exists=True, file_okay=False),
]
DEFAULT_STATE = Path(".state")
ROLLED_OUT = "generic"
"""The demo of a rollout plays an application of YAML alone."""


def up(state: State = DEFAULT_STATE, port_base: PortBase = 8000, applications: Applications = None) -> None:
    """Start an embedded Kafka (or use STREAMWHEEL_BROKER) and every service, until Ctrl-C.

    Once all are ready, their addresses are printed: a table on stderr, one JSON object on stdout.
    """
    from shared.cli.addresses import LAST_BASE, Addresses
    from shared.cli.plan import check_ports, plan
    from shared.cli.state import StateFolder
    from shared.cli.supervisor import StartFailed, Supervisor
    from shared.cli.tables import addresses_table

    if port_base > LAST_BASE:
        raise typer.BadParameter(f"the highest is {LAST_BASE}", param_hint="--port-base")
    if applications:
        from shared.applications.registry import load

        load([applications])  # a wrong file is better named here than in four logs
    addresses = Addresses(port_base, os.environ.get("STREAMWHEEL_BROKER") or None)
    folder = StateFolder(state)

    def started() -> None:
        answer(addresses.document())
        addresses_table(addresses, folder)

    with folder.locked():
        check_ports(addresses)
        try:
            Supervisor(plan(addresses, folder, applications), addresses, folder, say).run(started)
        except StartFailed as error:
            fail(str(error))
    say("stopped")


def down(state: State = DEFAULT_STATE) -> None:
    """Stop the loop that runs in a state folder, and return once it has stopped."""
    from shared.cli.state import StateFolder
    from shared.cli.stopping import stop

    stopped = stop(StateFolder(state))
    say("stopped" if stopped else f"nothing runs in {state}")


def status(
    state: State = DEFAULT_STATE,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Show each process: pid, address, whether it is alive and ready, and how many records wait for it.

    Exit status 1 unless everything is ready.
    """
    from shared.cli.state import StateFolder
    from shared.cli.status import look
    from shared.cli.tables import status_table

    seen = look(StateFolder(state))
    if as_json:
        answer(seen.document())
    else:
        status_table(seen)
    if not seen.sound:
        raise typer.Exit(1)


def demo(
    application: Annotated[str, typer.Argument(help="Which application to play.")] = "optdigits",
    decisions: Annotated[
        int | None, typer.Option(help="How many decisions; the application's usual number.", min=10)
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="Empty folder for data and logs, which then are kept.", file_okay=False),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a small language model for assistant and dashboard_widgets to train; without "
            "one, a policy of their decisions is trained.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    rollout: Annotated[
        bool,
        typer.Option(
            "--rollout",
            help="For generic: train a candidate, evaluate it, roll it out by stages, break it on purpose, "
            "and see it taken back.",
        ),
    ] = False,
) -> None:
    """Play a product through a loop of its own over HTTP, and show its policy getting better.

    optdigits is real data; voice_assistant, entertainment, assistant, search_ranking and dashboard_widgets
    are simulated users, after whom the trainer is asked for a candidate. Ends with an audit of all topics.
    One JSON object on stdout; exit status 1 if the audit finds anything, or no candidate is trained.
    """
    from shared.applications.registry import load
    from shared.cli.demo.demo import demo as play
    from shared.cli.demo.demo import demo_product
    from shared.cli.demo.examples import DEMOS
    from shared.cli.demo.products import PRODUCTS
    from shared.cli.demo.summary import show
    from shared.cli.output import BAD_USAGE

    if rollout != (application == ROLLED_OUT):
        fail(f"--rollout belongs to {ROLLED_OUT}, and to nothing else", BAD_USAGE)
    if not rollout and application not in {*DEMOS, *PRODUCTS}:
        known = ", ".join([*DEMOS, *PRODUCTS, f"{ROLLED_OUT} --rollout"])
        fail(f"there is nothing to play for {application!r}; there is for: {known}", BAD_USAGE)
    if state is not None and state.exists() and any(state.iterdir()):
        raise typer.BadParameter(f"{state} is not empty", param_hint="--state")
    if model is not None and (application not in PRODUCTS or PRODUCTS[application].language is None):
        raise typer.BadParameter(f"{application} trains no language model", param_hint="--model")
    if rollout:
        from shared.cli.demo.rollout import demo_rollout

        summary = demo_rollout(decisions, state)
    elif application in DEMOS:
        summary = play(load()[application], DEMOS[application], decisions, state)
    else:
        from shared.applications.simulation import load_simulator

        product, simulator = PRODUCTS[application], load_simulator(application)
        if product.language is not None and model is None:
            instead, meant = product.training.algorithm, product.language.algorithm
            say(f"without --model, {instead} is trained in place of {meant}")
        summary = demo_product(load()[application], simulator, product, decisions, state, model)
    show(summary)
    answer(summary.document())
    if not summary.sound:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add these commands to the application."""
    for command in (up, down, status, demo):
        app.command()(command)
