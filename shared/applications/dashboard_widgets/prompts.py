"""What a language model sees of a question."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from shared.applications.dashboard_widgets.entries import Scenario

SCENARIOS: tuple[str, ...] = get_args(Scenario)


def widget_prompt(
    question: str, domains: Sequence[str], entities: Mapping[str, Any], scenarios: Iterable[str] = SCENARIOS
) -> str:
    """The question, the scenarios to choose from, and what was understood; nothing understood, no line."""
    lines = [f"User query: {question}", f"Available scenarios: [{', '.join(scenarios)}]"]
    return "\n".join(lines + _understood(domains, entities))


def fixture_prompt(
    question: str,
    scenario: str,
    fixtures: Mapping[str, str | None],
    domains: Sequence[str],
    entities: Mapping[str, Any],
) -> str:
    """The question, its scenario, and the fixtures to choose from with their descriptions."""
    shown = [name if text is None else f"{name} ({text})" for name, text in fixtures.items()]
    lines = [
        f"User query: {question}",
        f"Scenario: {scenario}",
        f"Available fixtures: [{', '.join(shown)}]",
    ]
    return "\n".join(lines + _understood(domains, entities))


def _understood(domains: Sequence[str], entities: Mapping[str, Any]) -> list[str]:
    lines = []
    if domains:
        lines.append(f"Detected domains: {', '.join(domains)}")
    if entities:
        lines.append(f"Entities: {', '.join(f'{key}:{_text(value)}' for key, value in entities.items())}")
    return lines


def _text(value: Any) -> str:
    return "/".join(map(str, value)) if isinstance(value, list) else str(value)
