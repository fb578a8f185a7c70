"""The join by brute force: what each decision's reward must be, read off the whole log at once."""

from dataclasses import dataclass

from shared.core.join import Window


@dataclass(frozen=True)
class Decision:
    id: str
    time: int
    application: int = 0
    deferred: bool = False
    body: str = "d"


@dataclass(frozen=True)
class Interaction:
    id: str
    decision_id: str
    time: int
    value: int = 1
    application: int = 0
    activation: bool = False


def score(values: list[int]) -> float:
    """A reward that depends on every interaction and on their order."""
    return float(sum(value * (place + 1) for place, value in enumerate(values)))


def rewards(
    decisions: list[Decision], interactions: list[Interaction], windows: list[Window]
) -> dict[str, tuple[float, bool]]:
    """decision_id → (reward, is_default) once everything has closed; both lists in log order."""
    table: dict[str, tuple[float, bool]] = {}
    seen: set[str] = set()
    for decision in decisions:
        if decision.id in seen:
            continue
        seen.add(decision.id)
        counted = counting(decision, interactions, windows)
        values = [i.value for i in counted if not i.activation]
        if decision.deferred and not any(i.activation for i in counted):
            continue
        default = windows[decision.application].default
        table[decision.id] = (score(values), False) if values else (default, True)
    return table


def counting(decision: Decision, interactions: list[Interaction], windows: list[Window]) -> list[Interaction]:
    """Those that count for a decision, in log order, activations among them."""
    window = windows[decision.application]
    return [
        i
        for i in _first_of_each(interactions)
        if i.decision_id == decision.id
        and i.application == decision.application
        and decision.time - window.early_grace <= i.time <= decision.time + window.span
    ]


def _first_of_each(interactions: list[Interaction]) -> list[Interaction]:
    first: dict[tuple[str, str], Interaction] = {}
    for interaction in interactions:
        first.setdefault((interaction.decision_id, interaction.id), interaction)
    return list(first.values())
