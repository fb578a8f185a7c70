"""rollout, reset-arm: see how an application's rollouts stand, and command them, through the deployer."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from shared.cli.addresses import OFFSETS
from shared.cli.commands_loop import PortBase
from shared.cli.output import BAD_USAGE, FAILED, answer, fail

ASK_S = 30.0
CONFLICT = 409
"""What was asked for means nothing now: the command was right, the work was not done."""

Application = Annotated[str, typer.Argument(help="Name of the application.")]
Policy = Annotated[str, typer.Option(help="The policy that is meant; what is rolled out.")]
Reason = Annotated[str, typer.Option(help="Why, for the audit.")]
Url = Annotated[str | None, typer.Option(help="Address of the deployer, if it is not of this machine.")]

rollout = typer.Typer(help="See and command rollouts.", no_args_is_help=True)


@rollout.command()
def status(application: Application, port_base: PortBase = 8000, url: Url = None) -> None:
    """Print how the application's rollouts stand."""
    answer(_ask("GET", f"/v1/rollouts/{_part(application)}", port_base, url))


@rollout.command()
def history(
    application: Application,
    most: Annotated[int, typer.Option(help="The newest so many lines.", min=1, max=10_000)] = 1_000,
    port_base: PortBase = 8000,
    url: Url = None,
) -> None:
    """Print the audit, one JSON object a line."""
    path = f"/v1/rollouts/{_part(application)}/events?most={most}"
    for event in _ask("GET", path, port_base, url)["events"]:
        answer(event)


@rollout.command()
def promote(
    application: Application,
    policy: Policy = "",
    reason: Reason = "",
    port_base: PortBase = 8000,
    url: Url = None,
) -> None:
    """Go to the next stage without waiting; with --policy, begin to roll out one that waits."""
    _command("promote", application, policy, reason, port_base, url)


def _plain(verb: str, text: str) -> None:
    def run(
        application: Application,
        policy: Policy = "",
        reason: Reason = "",
        port_base: PortBase = 8000,
        url: Url = None,
    ) -> None:
        _command(verb, application, policy, reason, port_base, url)

    run.__doc__ = text
    rollout.command(verb)(run)


for _verb, _text in {
    "abort": "End the rollout; the candidate may come again.",
    "pause": "Stay at this stage.",
    "resume": "Go on; the stage bakes anew.",
    "rollback": "End the rollout, or without one go back to the last good stable version.",
    "freeze": "Start nothing and advance nothing; what harms is still taken back.",
    "thaw": "The opposite of freeze.",
}.items():
    _plain(_verb, _text)


@rollout.command()
def block(
    application: Application,
    policy: Annotated[str, typer.Argument(help="The policy.")],
    reason: Annotated[str, typer.Option(help="Why, for the audit.")],
    until: Annotated[str | None, typer.Option(help="ISO 8601, with a time zone; for ever without.")] = None,
    port_base: PortBase = 8000,
    url: Url = None,
) -> None:
    """Blacklist a policy; what it decides is taken back at once."""
    body = {"reason": reason, "until": until, "by": _user()}
    path = f"/v1/blacklist/{_part(application)}/{_part(policy)}"
    answer(_ask("PUT", path, port_base, url, body))


@rollout.command()
def unblock(
    application: Application,
    policy: Annotated[str, typer.Argument(help="The policy.")],
    port_base: PortBase = 8000,
    url: Url = None,
) -> None:
    """Take a policy off the blacklist."""
    path = f"/v1/blacklist/{_part(application)}/{_part(policy)}?by={_part(_user())}"
    answer(_ask("DELETE", path, port_base, url))


def reset_arm(
    application: Application,
    action: Annotated[str, typer.Argument(help="The action, as a variant's name.")],
    reason: Reason = "",
    port_base: PortBase = 8000,
    url: Url = None,
) -> None:
    """Let the online policy forget what an action's decisions until now taught it."""
    path = f"/v1/arms/{_part(application)}/{_part(action)}/reset"
    answer(_ask("POST", path, port_base, url, {"by": _user(), "reason": reason}))


def _command(verb: str, application: str, policy: str, reason: str, port_base: int, url: str | None) -> None:
    body = {"by": _user(), "reason": reason, "policy": policy}
    answer(_ask("POST", f"/v1/rollouts/{_part(application)}/{verb}", port_base, url, body))


def _ask(method: str, path: str, port_base: int, url: str | None, body: object = None) -> Any:
    import httpx

    from shared.broker.node_files import HOST
    from shared.cli.status import api_key

    base = url or f"http://{HOST}:{port_base + OFFSETS['deployer']}"
    try:
        reply = httpx.request(method, base.rstrip("/") + path, json=body, headers=api_key(), timeout=ASK_S)
    except httpx.HTTPError as error:
        fail(f"{base}: {type(error).__name__} {error}. Check that the deployer runs.")
    if not reply.is_success:
        bad = reply.is_client_error and reply.status_code != CONFLICT
        fail(f"{reply.status_code}: {_problems(reply)}", BAD_USAGE if bad else FAILED)
    return reply.json()


def _problems(reply: Any) -> str:
    try:
        found = reply.json()["errors"]
        return "; ".join(": ".join(filter(None, (each["field"], each["message"]))) for each in found)
    except (ValueError, LookupError, TypeError):
        return str(reply.text)[:1_000]


def _part(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def _user() -> str:
    import getpass

    return getpass.getuser()


def register(app: typer.Typer) -> None:
    """Add these commands to the application."""
    app.add_typer(rollout, name="rollout")
    app.command("reset-arm")(reset_arm)
