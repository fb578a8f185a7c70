"""Who is in a test, and what they get: the same every time, in the shares that were asked for."""

from collections import Counter
from dataclasses import replace

import pytest

from shared.core.experiments.assignment import Experiment, owner_of_draw
from shared.core.verify import problems

SUBJECTS = [f"user-{n}" for n in range(20_000)]
DESIGN = Experiment("one", {"base": 0.5, "tuned": 0.3, "careful": 0.2}, 0.4, "base")


def test_shares_are_kept_and_assignments_stay() -> None:
    inside = [subject for subject in SUBJECTS if DESIGN.includes(subject)]
    assert abs(len(inside) / len(SUBJECTS) - 0.4) < 0.02
    found = Counter(map(DESIGN.variant, inside))
    for name, share in DESIGN.shares.items():
        assert abs(found[name] / len(inside) - share) < 0.02
    assert [DESIGN.variant(subject) for subject in inside[:50]] == [
        replace(DESIGN, subjects=0.9).variant(subject) for subject in inside[:50]
    ]


def test_a_larger_test_holds_the_smaller_one_and_another_one_is_independent() -> None:
    small = {subject for subject in SUBJECTS if replace(DESIGN, subjects=0.1).includes(subject)}
    assert small < {subject for subject in SUBJECTS if DESIGN.includes(subject)}
    other = replace(DESIGN, name="two")
    same = sum(DESIGN.variant(subject) == other.variant(subject) for subject in SUBJECTS)
    assert abs(same / len(SUBJECTS) - (0.25 + 0.09 + 0.04)) < 0.02
    assert not any(replace(DESIGN, subjects=0).includes(subject) for subject in SUBJECTS[:100])
    assert all(replace(DESIGN, subjects=1).includes(subject) for subject in SUBJECTS[:100])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shares": {"base": 0.5, "tuned": 0.4}}, "sum to 1, not 0.9"),
        ({"shares": {"base": 1.0, "tuned": 0.0}}, "above 0"),
        ({"control": "none"}, "none of base, tuned, careful"),
        ({"subjects": 1.5}, "subjects is 1.5"),
    ],
)
def test_a_design_that_cannot_be_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(DESIGN, **changes)  # type: ignore[arg-type]


def test_anybody_can_draw_again() -> None:
    subject = SUBJECTS[0]
    decision = {
        "decision_id": "d-1",
        "subject_id": subject,
        "policy": {"name": DESIGN.policy, "version": 1},
        "action": DESIGN.variant(subject),
        "propensity": DESIGN.shares[DESIGN.variant(subject)],
        "probabilities": dict(DESIGN.shares),
    }
    assert problems(decision) == []
    others = [name for name in DESIGN.shares if name != DESIGN.variant(subject)]
    wrong = decision | {"action": others[0], "propensity": DESIGN.shares[others[0]]}
    assert "the draw for this id" in problems(wrong)[0]
    assert problems({k: v for k, v in decision.items() if k != "subject_id"}) == ["subject_id is missing"]
    assert owner_of_draw("main@0123456789abcdef") == "decision_id"
