"""Preferences between widgets, and between fixtures, from ratings."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, product
from typing import Literal

import orjson

from shared.applications.contract import FieldError
from shared.applications.dashboard_widgets.entries import Rated
from shared.applications.dashboard_widgets.prompts import fixture_prompt, widget_prompt
from shared.applications.reading import Id, Record, Text, validated
from shared.core.draw import uniform

MAX_PAIRS_PER_QUESTION = 10
"""Fixture pairs of one question and scenario: the product of likes and dislikes would drown the others."""
EVAL_SHARE = 0.1


class Pair(Record):
    """For the prompt, `chosen` is better than `rejected`."""

    kind: Literal["widget", "fixture"]
    question_id: Id
    prompt: Text
    chosen: Text
    rejected: Text


def widget_pairs(rated: Sequence[Rated]) -> Iterator[Pair]:
    """One for each question with likes and dislikes, in the order of the questions.

    Each side is its scenarios sorted, "scenario (size), …". Sides that are the same state nothing.
    """
    for question_id, of_question in _groups(rated, lambda each: each.entry.question_id):
        chosen, rejected = (_shown(of_question, liked) for liked in (True, False))
        if chosen and rejected and chosen != rejected:
            entry = of_question[0].entry
            intent = entry.pipeline_meta.intent
            prompt = widget_prompt(entry.question, intent.domains, intent.entities)
            yield Pair(
                kind="widget", question_id=question_id, prompt=prompt, chosen=chosen, rejected=rejected
            )


def fixture_pairs(rated: Sequence[Rated], most: int = MAX_PAIRS_PER_QUESTION) -> Iterator[Pair]:
    """Liked × disliked fixtures of each question and scenario, at most `most` of each."""
    available: dict[str, dict[str, str | None]] = {}
    for each in rated:
        of_scenario = available.setdefault(each.entry.scenario, {})
        of_scenario[each.entry.fixture] = each.entry.description or of_scenario.get(each.entry.fixture)
    for _, group in _groups(rated, lambda each: f"{each.entry.question_id}\0{each.entry.scenario}"):
        liked, disliked = (_fixtures(group, wanted) for wanted in (True, False))
        differing = ((one, other) for one, other in product(liked, disliked) if one != other)
        entry = group[0].entry
        intent = entry.pipeline_meta.intent
        for chosen, rejected in islice(differing, most):
            prompt = fixture_prompt(
                entry.question, entry.scenario, available[entry.scenario], intent.domains, intent.entities
            )
            yield Pair(
                kind="fixture",
                question_id=entry.question_id,
                prompt=prompt,
                chosen=chosen,
                rejected=rejected,
            )


def split(
    pairs: Iterable[Pair], seed: int = 0, eval_share: float = EVAL_SHARE
) -> tuple[list[Pair], list[Pair]]:
    """(train, eval): all pairs of a question on one side, by a hash of its id."""
    train: list[Pair] = []
    held_out: list[Pair] = []
    for pair in pairs:
        side = held_out if uniform(pair.question_id, "dashboard split", seed) < eval_share else train
        side.append(pair)
    return train, held_out


def write_pairs(pairs: Iterable[Pair]) -> bytes:
    """JSON lines."""
    return b"".join(orjson.dumps(pair.model_dump(), option=orjson.OPT_APPEND_NEWLINE) for pair in pairs)


def read_pairs(lines: Iterable[bytes | str]) -> Iterator[Pair]:
    """The pairs of JSON lines; blank ones are passed over. Raises `FieldError` naming line and field."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            document = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise FieldError(f"line {number}", f"no JSON: {error}") from error
        yield validated(Pair, document, f"line {number}")


def _groups(rated: Iterable[Rated], key: Callable[[Rated], str]) -> Iterator[tuple[str, list[Rated]]]:
    """Groups in the order of their first members."""
    groups: dict[str, list[Rated]] = {}
    for each in rated:
        groups.setdefault(key(each), []).append(each)
    yield from groups.items()


def _shown(rated: Iterable[Rated], liked: bool) -> str:
    sides = {(each.entry.scenario, each.entry.size) for each in rated if each.liked is liked}
    return ", ".join(f"{scenario} ({size})" for scenario, size in sorted(sides))


def _fixtures(rated: Iterable[Rated], liked: bool) -> list[str]:
    return list(dict.fromkeys(each.entry.fixture for each in rated if each.liked is liked))
