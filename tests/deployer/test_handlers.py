"""What facts lead to, without clocks and Kafka."""

from dataclasses import replace

import orjson
import pytest

from services.deployer.book import BLACKLISTED, REMEMBERED, Book, document, read, rebased
from services.deployer.commands import Command, commanded
from services.deployer.handlers import evaluated, killed, observed, verified
from services.deployer.stepping import QUEUED, Change, Rules, Unverified, deployment
from shared.core.rollout.arms import Mean
from shared.core.rollout.facts import Block, Health, State
from shared.core.rollout.guards import Assessment
from shared.core.rollout.settings import RolloutSettings, Stage
from shared.wire.rollouts import (
    Deployed,
    DeploymentEvent,
    Evaluation,
    MetricEstimate,
    Reason,
    read_deployment,
)

SETTINGS = RolloutSettings(
    stages=(Stage("shadow", 0, 1, 0), Stage("half", 0.5, 1, 10), Stage("all", 1, 1, 0)), longest_s=1e6
)
RULES = Rules(SETTINGS, True, lambda: {0: 5, 1: 7}, lambda _: None)
START = Book("shop", State("main", "main"))
METRIC = MetricEstimate("reward", "dr", 0.5, 0.4, float("inf"), 0.3, 0.2, 0.1, 0.3, "pass")
GOOD = Assessment(Health.GOOD, 50)


def evaluation(policy: str = "a", number: int = 1, **changes: object) -> Evaluation:
    made = Evaluation(
        f"{policy}-{number}", "shop", policy, "log", "pass", 1, "ucb", f"/there/{policy}", metrics=(METRIC,)
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def rolled(*policies: str, rules: Rules = RULES) -> Book:
    book = START
    for policy in policies or ("a",):
        book = evaluated(book, evaluation(policy), 1_000, rules).book
    return book


def whats(change: Change) -> list[tuple[str, str]]:
    return [(each.what, each.stage) for each in change.events]


def test_a_book_survives_its_record() -> None:
    book = rolled("a", "b")
    book = replace(book, watch=replace(book.watch, record=(Mean(0.5, 0.1, 9.0, 4), None)))
    book = replace(book, state=replace(book.state, blocked=(Block("x", "bad", 5.0),), frozen=True))
    again = read_deployment(deployment(book, 1, RULES).encode())
    assert read(again.state) == book
    assert (again.salt, again.stage, again.canary.policy if again.canary else "") == ("shop-2", "shadow", "a")
    assert book.entries["a"].predictions[0].high is None  # infinity is not JSON


def test_the_first_pass_lets_in_and_later_ones_only_tell() -> None:
    book = rolled()
    assert book.state.rollout is not None
    found = evaluated(book, evaluation(number=2, kind="shadow", verdict="fail"), 2_000, RULES)
    assert (found.events, found.book.entries["a"].verdict) == ((), "fail")
    assert evaluated(found.book, evaluation(number=2), 3_000, RULES) == Change(found.book)


def test_a_look_without_support_takes_no_pass_back() -> None:
    book = rolled()
    refused = evaluation(number=2, kind="shadow", verdict="refused")
    told = replace(refused, decisions=0, reasons=(Reason("missing-support", "it answers nobody"),))
    assert evaluated(book, told, 2_000, RULES) == Change(book)
    for other in (
        replace(told, decisions=9),
        replace(told, kind="log"),
        replace(told, reasons=(Reason("policy", "?"),)),
    ):
        assert evaluated(book, other, 2_000, RULES).book.entries["a"].verdict == "refused"


def test_after_an_abort_only_another_evaluation_on_the_log_lets_in_again() -> None:
    book = commanded(rolled(), Command("abort", "shop", "c-1"), 2_000, RULES).book
    shadow = evaluated(book, evaluation(number=2, kind="shadow"), 3_000, RULES)
    assert (shadow.events, shadow.book.state.rollout) == ((), None)
    assert evaluated(book, evaluation(number=1), 3_000, RULES).book.state.rollout is None  # a copy
    again = evaluated(book, evaluation(number=3), 3_000, RULES)
    assert whats(again) == [("queued", ""), ("started", "shadow")]


@pytest.mark.parametrize("verdict", ["fail", "inconclusive", "refused"])
def test_what_has_not_passed_is_not_rolled_out(verdict: str) -> None:
    book = evaluated(START, evaluation(verdict=verdict), 1, RULES).book
    assert (book.state.rollout, book.entries["a"].verdict) == (None, verdict)
    refused = commanded(book, Command("promote", "shop", "c-1", policy="a"), 2, RULES)
    assert refused.refused == f"a is not rolled out: its newest evaluation says {verdict}"
    later = evaluated(book, evaluation(number=2), 3, RULES)
    assert later.book.state.rollout is not None


def test_an_artefact_that_cannot_be_used_is_not_rolled_out() -> None:
    rules = replace(RULES, broken=lambda deployed: f"{deployed.artefact} is gone")
    found = evaluated(START, evaluation(), 1, rules)
    assert [(each.what, each.event_id) for each in found.events] == [("refused", "shop-refused-a-1")]
    assert "/there/a is gone" in found.events[0].cause
    assert found.book.state == START.state


def test_the_base_is_no_candidate() -> None:
    assert evaluated(START, evaluation("main"), 1, RULES) == Change(START)


def test_too_many_candidates_are_refused() -> None:
    book = rolled(*(f"p{n}" for n in range(QUEUED + 1)))
    assert len(book.state.queue) == QUEUED
    found = evaluated(book, evaluation("late"), 1, RULES)
    assert [each.what for each in found.events] == ["refused"]


def test_a_hold_is_audited_once_a_stage_and_only_when_the_stage_has_baked() -> None:
    held = Assessment(Health.UNSURE, 50, "missing-data", "nobody there", {"n": 0.0})
    book = rolled()
    assert observed(book, held, (None,), 1_500, RULES).events == ()
    first = observed(book, held, (None,), 2_000, RULES)
    assert [(e.what, e.cause, dict(e.numbers), e.sequence) for e in first.events] == [
        ("held", "nobody there", {"n": 0.0}, 2)
    ]
    assert observed(first.book, held, (None,), 2_100, RULES).events == ()
    other = observed(first.book, replace(held, reason="not-proven"), (None,), 2_100, RULES)
    assert [each.what for each in other.events] == ["held"]


def test_stable_is_remembered_for_stages_without_it() -> None:
    mean = Mean(0.4, 0.01, 90.0, 40)
    book = observed(rolled(), GOOD, (None,), 2_000, RULES).book
    assert book.watch is not None
    assert (book.watch.stage, book.watch.since, dict(book.watch.offsets)) == (1, 2_000, {0: 5, 1: 7})
    book = observed(book, GOOD, (mean,), 3_000, RULES).book
    assert book.watch is not None
    assert (book.watch.stage, book.watch.record) == (2, (mean,))
    found = observed(book, GOOD, (None,), 4_000, RULES)
    assert whats(found) == [("stable", "")]
    assert found.ended == book.watch


def test_each_line_says_the_stage_after_it() -> None:
    book = observed(rolled("a", "b"), GOOD, (None,), 2_000, RULES).book
    found = observed(book, Assessment(Health.BREACH, 50, "worse", "it harms"), (None,), 2_500, RULES)
    assert whats(found) == [("blacklisted", "half"), ("rolled-back", ""), ("started", "shadow")]
    assert found.book.watch is not None
    assert found.book.watch.salt == f"shop-{found.book.state.sequence}"


def test_time_does_not_fall_when_the_clock_does() -> None:
    found = commanded(rolled(), Command("pause", "shop", "c-1"), 10, RULES)
    assert [each.at for each in found.events] == [1_000]


def test_a_kill_switch_ends_the_rollout_under_way_and_holds_until_somebody_thaws() -> None:
    book = rolled("a", "b")
    event = DeploymentEvent("k", "shop", 0, "killed", "a", "main", 0, "", "it swears", "api", 999)
    late = killed(book, event, 2_000, RULES)  # pulled before this rollout began
    assert [(e.what, e.stage) for e in late.events] == [("frozen", "shadow")]
    found = killed(book, replace(event, at=1_000), 2_000, RULES)
    assert [(e.what, e.policy) for e in found.events] == [("rolled-back", "a"), ("frozen", "main")]
    assert {(each.by, each.cause) for each in found.events} == {("api", "kill switch: it swears")}
    assert killed(found.book, replace(event, at=3_000), 3_000, RULES) == Change(found.book)
    again = killed(found.book, replace(event, event_id="k-2"), 3_000, RULES)
    assert (again.events, again.book.kills) == ((), ("k", "k-2"))
    thawed = commanded(found.book, Command("thaw", "shop", "c-1"), 4_000, RULES)
    assert [(e.what, e.policy) for e in thawed.events] == [("thawed", "main"), ("started", "b")]
    assert killed(thawed.book, event, 5_000, RULES) == Change(thawed.book)  # the log is read again
    assert whats(killed(START, event, 2_000, RULES)) == [("frozen", "")]


def test_a_candidate_waits_for_its_artefact_to_be_verified_and_is_let_in_then() -> None:
    def unknown(deployed: Deployed) -> str | None:
        raise Unverified(deployed)

    waiting = replace(RULES, broken=unknown)
    found = evaluated(START, evaluation(), 1, waiting)
    assert (found.events, found.book.state.rollout) == ((), None)
    book = read(deployment(found.book, 1, RULES).state)  # a successor goes on
    assert verified(book, "a", 2, waiting) == Change(book)
    later = verified(book, "a", 2, RULES)
    assert whats(later) == [("queued", ""), ("started", "shadow")]
    assert "evaluation a-1 passed" in later.events[0].cause
    assert later.events[0].numbers["reward_candidate"] == 0.5
    assert verified(later.book, "a", 3, RULES) == Change(later.book)
    broken = verified(book, "a", 2, replace(RULES, broken=lambda _: "it was changed"))
    assert [each.what for each in broken.events] == ["refused"]
    assert verified(broken.book, "a", 3, RULES) == Change(broken.book)
    failed = evaluated(book, evaluation(number=2, verdict="fail"), 2, waiting)
    assert verified(failed.book, "a", 3, RULES) == Change(failed.book)


def test_what_was_over_long_ago_is_forgotten_and_what_decides_is_not() -> None:
    book = rolled("a", "b")
    others = {f"x{n}": book.entries["a"] for n in range(2 * REMEMBERED)}
    blocked = tuple(Block(f"y{n}", "r" * 999) for n in range(BLACKLISTED + 5))
    ended = Block("z", "over", until=0.5)
    state = replace(book.state, blocked=(*blocked, ended), history=("a",))
    big = replace(book, entries={**book.entries, **others}, state=state, seen=("e",) * 999).pruned()
    assert {"a", "b", f"x{2 * REMEMBERED - 1}"} < set(big.entries)
    assert len(big.entries) == REMEMBERED + 2
    assert [each.policy for each in big.state.blocked][-1] == f"y{BLACKLISTED + 4}"
    assert len(big.state.blocked) == BLACKLISTED
    assert len(orjson.dumps(document(big))) < 1 << 19


def test_the_online_policy_may_get_another_name() -> None:
    book = Book("shop", State("old", "old", history=("old", "a")))
    assert rebased(book, "new").state == State("new", "new", history=("new", "a"))
    kept = Book("shop", State("old", "a", history=("old",)))
    assert rebased(kept, "new").state == State("new", "a", history=("new",))


def test_a_reset_is_later_than_every_one_before_whatever_the_clock_says() -> None:
    rules, book, times = replace(RULES, arms=("a", "b")), replace(START, at=5_000), []
    for now in (1_000, 9_000, 9_000):
        change = commanded(book, Command("reset", "shop", f"id-{now}", by="ann", action="b"), now, rules)
        (event,) = change.events
        assert (event.what, event.action, event.policy, event.sequence) == ("reset", "b", "main", 0)
        book, times = read(document(change.book)), [*times, event.at]
    assert times == [5_001, 9_000, 9_001]


def test_a_reset_of_what_is_no_arm_is_refused_by_name() -> None:
    command = Command("reset", "shop", "id", by="ann", action="c")
    unknown = commanded(START, command, 1, replace(RULES, arms=tuple(f"a{n}" for n in range(60))))
    assert (unknown.refused, unknown.unknown) == (
        f"shop has no action 'c'; it has {', '.join(f'a{n}' for n in range(50))}, …", True
    )  # fmt: skip
    assert [(each.what, each.action) for each in unknown.events] == [("refused", "c")]
    shared = commanded(START, command, 1, RULES)
    assert (shared.refused, shared.unknown) == (
        "shop has no arms to reset: the actions share one regression", False
    )  # fmt: skip
    assert shared.book == START
