"""Hyper-parameters of an algorithm as options of `streamwheel train`."""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer

from shared.algorithms.contract import GENERIC, NotTrainable
from shared.algorithms.registry import USUAL, Algorithm, algorithms, for_application

_WORDS: Mapping[type, str] = {int: "INTEGER", float: "NUMBER", str: "TEXT"}


def with_flags(body: Callable[..., None], arguments: Sequence[str]) -> Callable[..., None]:
    """`body` as a command with the hyper-parameters of the algorithm that the arguments choose.

    `body` has a last parameter `given`, which becomes name → value of those that were typed. Arguments that
    name no application choose every algorithm: that is what the help shows.
    """
    found = _chosen(arguments)
    options = {name: parameter for each in found for name, parameter in _options(each).items()}
    own = [
        parameter
        for parameter in inspect.signature(body, eval_str=True).parameters.values()
        if parameter.name != "given"
    ]
    names = {parameter.name for parameter in own}

    def command(**values: Any) -> None:
        typed = {name: value for name, value in values.items() if name not in names and value is not None}
        given = {
            name: value if isinstance(value, bool) else _typed(found[0], name, value)
            for name, value in typed.items()
        }
        body(**{name: values[name] for name in names}, given=given)

    command.__doc__ = body.__doc__
    command.__signature__ = inspect.Signature([*own, *options.values()])  # type: ignore[attr-defined]
    return command


def _chosen(arguments: Sequence[str]) -> list[Algorithm]:
    application, name = _named(arguments)
    if application is None:
        return list(algorithms().values())
    try:
        return [for_application(application, name)]
    except NotTrainable:  # the command says so, and what there is
        return []


def _named(arguments: Sequence[str]) -> tuple[str | None, str | None]:
    """Application and algorithm among the arguments: the application stands first, or is a built-in one."""
    algorithm = None
    for i, argument in enumerate(arguments):
        flag, _, value = argument.partition("=")
        if flag == "--algorithm":
            algorithm = value or (arguments[i + 1] if i + 1 < len(arguments) else None)
    first = arguments[0] if arguments and not arguments[0].startswith("-") else None
    return next((argument for argument in arguments if argument in USUAL), first), algorithm


def _options(algorithm: Algorithm) -> dict[str, inspect.Parameter]:
    kind: Any = algorithm.declaration.Parameters
    meant = ", ".join(algorithm.declaration.APPLICATIONS).replace(GENERIC, "applications of YAML alone")
    return {
        name: _option(name, field, f"{algorithm.name}: {meant}")
        for name, field in kind.__pydantic_fields__.items()
    }


def _option(name: str, field: Any, panel: str) -> inspect.Parameter:
    flag, boolean = name.replace("_", "-"), field.annotation is bool
    option = typer.Option(
        f"--{flag}/--no-{flag}" if boolean else f"--{flag}",
        help=" ".join((field.description or "").split()),
        metavar=None if boolean else _metavar(field.annotation),
        show_default=_shown(field.default),
        rich_help_panel=panel,
    )
    annotation: Any = Annotated[(bool if boolean else str) | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _typed(algorithm: Algorithm, name: str, text: str) -> Any:
    """What a flag's text means; its type is checked with all others."""
    parameters: Any = algorithm.declaration.Parameters
    annotation = parameters.__pydantic_fields__[name].annotation
    if text.lower() == "none" and type(None) in get_args(annotation):
        return None
    kind = get_origin(_plain(annotation))
    if kind is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    if kind in (dict, list):
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text
    return text


def _shown(default: Any) -> str:
    """A default as one would type it."""
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, tuple):
        return ",".join(str(each) for each in default)
    if isinstance(default, float):
        return f"{default:g}"
    return "none" if default is None else str(default)


def _plain(annotation: Any) -> Any:
    """The first type of a union, or what Annotated wraps."""
    if hasattr(annotation, "__metadata__"):
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return _plain(next(part for part in get_args(annotation) if part is not type(None)))
    return annotation


def _metavar(annotation: Any) -> str:
    kind = _plain(annotation)
    if get_origin(kind) is Literal:
        return "|".join(str(each) for each in get_args(kind))
    if get_origin(kind) is tuple:
        return "A,B,…"
    return _WORDS.get(kind, "JSON")
