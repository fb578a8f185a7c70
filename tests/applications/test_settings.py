"""Files of settings: what is read, and how refusals are worded."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import shared.applications
from shared.applications.durations import parse, write
from shared.applications.files import SettingsError, read
from shared.applications.registry import load

GOOD = "application: shop\nactions: [a, b]\n"


def written(folder: Path, text: str, name: str = "shop.yaml") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_a_full_file_is_read(tmp_path: Path) -> None:
    text = GOOD + (
        "features: [{name: age, type: numeric}, {name: device, type: categorical, values: [phone, desk]}]\n"
        "reward: {aggregation: max, default: -1, wait: 1.5h, hold: 250ms, clip: [-1, 1]}\n"
        "policy: {name: main, kind: linucb, map: linear, alpha: 1e-3, half_life: 7d}\n"
        "training: {window: 30d, every: 1000, schedule: 0 1 * * 1, drift: {kind: page_hinkley}}\n"
    )
    settings = read(written(tmp_path, text))
    assert settings.reward.wait == timedelta(hours=1.5)
    assert settings.reward.hold == timedelta(milliseconds=250)
    assert settings.policy.name == "main"
    assert (settings.policy.configuration.kind, settings.policy.configuration.alpha) == ("linucb", 0.001)
    assert settings.policy.configuration.half_life_s == 7 * 86400
    assert settings.training.window == timedelta(days=30)
    assert settings.training.schedule == "0 1 * * 1"
    assert settings.training.drift is not None
    assert settings.training.drift.block == 100


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            GOOD + "reward: {aggregation: average}",
            "reward.aggregation: 'average' is not one of 'sum', 'mean'",
        ),
        (GOOD + "reward: {wait: 10}", "reward.wait: 10 is no duration"),
        (
            GOOD + "reward: {agregation: sum}",
            "reward.agregation: unknown key, allowed are aggregation, default",
        ),
        (GOOD + "reward: {clip: [1, 0]}", "reward.clip: [1, 0]: the first must be below"),
        (GOOD + "reward: {default: .nan}", "reward.default: Input should be a finite number"),
        (GOOD + "reward: {default: 2, clip: [0, 1]}", "reward.default: 2 is outside clip"),
        (GOOD + "policy: {kind: best}", "epsilon_greedy, thompson_beta, thompson_linear"),
        (GOOD + "policy: {kind: best}", "policy.kind: is 'best'"),
        (GOOD + "policy: {alfa: 1}", "policy.alfa: unknown key, allowed are name, half_life, kind"),
        (GOOD + "policy: {half_life: soon}", "policy.half_life: 'soon' is no duration"),
        (GOOD + "policy: {alpha: .inf}", "policy.alpha: Input should be a finite number"),
        (
            GOOD + "features: [{name: a, type: text}]",
            "features[0].type: 'text' is not one of 'numeric', 'categorical'",
        ),
        (GOOD + "features: [{name: a}]", "features[0].type: missing"),
        (GOOD + "features: [{name: a, type: categorical}]", "features[0].values: missing"),
        (GOOD + "features: [{name: a, type: numeric, scale: 0}]", "features[0].scale: "),
        ("application: shop\nactions: [a, a]", "actions: a: given more than once"),
        ("application: shop\nactions: [1, b]", "actions[0]: 1 is no text: put it in quotes"),
        ("application: shop\nactions: []", "actions: "),
        ("application: Shop/1\nactions: [a]", "application: 'Shop/1' does not match"),
        ("application: shop", "actions: missing"),
        (GOOD + "training: {schedule: weekly}", "training.schedule: 'weekly' has not cron's five fields"),
        (GOOD + "training: {schedule: '0 25 * * *'}", "training.schedule: '0 25 * * *' has not"),
        (GOOD + "training: {drift: {kind: kswin}}", "training.drift.kind: 'kswin' is not one of 'adwin'"),
        (GOOD + "training: {every: 0}", "training.every: "),
        (GOOD + "training: {weekly: true}", "training.weekly: unknown key, allowed are algorithm, preset"),
        (
            GOOD + "evaluation: {limits: {tail: 3}}",
            "evaluation.limits: tail: unknown, allowed are effective_",
        ),
        (GOOD + "evaluation: {alpha: 1}", "evaluation.alpha: "),
        (GOOD + "guards: [{metric: a}, {metric: a}]", "guards: a: given more than once"),
        (
            GOOD + "guards: [{metric: a, at_least: 2, at_most: 1}]",
            "guards[0].at_most: 1 is below at_least, 2",
        ),
        (
            GOOD + "rollout: {stages: [{name: all, share: 1}, {name: some, share: .1}]}",
            "rollout.stages: must have shares that never fall, and end at 1",
        ),
        (GOOD + "rollout: {stages: [{name: some, share: .1}]}", "rollout.stages: must have shares"),
        (GOOD + "rollout: {stages: [{name: all, share: 2}]}", "rollout.stages[0].share: "),
        (GOOD + "reward: {}\nreward: {}", "key 'reward' stands twice"),
        (GOOD + "policy: !!python/name:os.system", "could not determine a constructor"),
        ("[", "cannot be read as YAML"),
        ("", "expected a mapping"),
    ],
)
def test_errors_name_file_field_and_what_is_allowed(tmp_path: Path, text: str, words: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(SettingsError) as refused:
        read(file)
    assert str(refused.value).startswith(f"{file}: ")
    assert words in str(refused.value)


def test_every_problem_has_its_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        read(written(tmp_path, GOOD + "reward: {wait: x, clip: [a, 1]}\nfeatures: 7"))
    assert len(str(refused.value).splitlines()) == 3


def test_users_files_join_the_built_in_applications(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    assert load([tmp_path]).keys() == load().keys() | {"shop"}


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    second = written(tmp_path, GOOD, "twin.yaml")
    with pytest.raises(SettingsError, match=rf"{second}: application: 'shop' is the name of .*shop\.yaml"):
        load([tmp_path])
    with pytest.raises(SettingsError, match="no such folder"):
        load([tmp_path / "absent"])


@given(st.integers(0, 10**9))
def test_durations_survive_writing(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)
    assert parse(write(duration)) == duration


def test_the_readme_shows_a_file_that_is_read(tmp_path: Path) -> None:
    readme = (Path(shared.applications.__file__).parent / "README.md").read_text()
    settings = read(written(tmp_path, readme.partition("```yaml")[2].partition("```")[0]))
    assert (settings.application, settings.policy.configuration.half_life_s) == ("shop", 30 * 86400)
