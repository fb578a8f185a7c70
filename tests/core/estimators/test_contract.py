"""What every estimator keeps, whichever it is; new ones are picked up from their folder."""

import numpy as np
import pytest

from shared.core.estimators.contract import Terms, estimate
from shared.core.estimators.log import Logged
from shared.core.estimators.registry import one_step, sequences
from shared.core.estimators.sequences.trajectories import Trajectories
from tests.core.estimators import plain
from tests.core.estimators.logs import logged, parts, tuples
from tests.core.estimators.sequences import chain

ALL = one_step()


def name(estimator):
    return f"{estimator.name}-{estimator.parameter}"


def test_every_module_is_found_and_plain_ones_come_first():
    assert {each.name for each in ALL} >= {"ips", "snips", "clipped_ips", "dm", "dr", "switch_dr", "dr_os"}
    assert [each.name for each in ALL][:2] == ["ips", "snips"]
    assert {each.name for each in sequences()} == {"pdis", "fqe"}
    assert not any(each.models_rewards for each in one_step(models=False))
    assert len({name(each) for each in ALL}) == len(ALL)


@pytest.mark.parametrize("estimator", ALL, ids=name)
def test_it_equals_a_loop_over_rows(estimator):
    log = logged()
    arguments = [] if estimator.parameter is None else [estimator.parameter]
    expected = getattr(plain, estimator.name)(tuples(log), *arguments)
    assert estimate(estimator, log) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("estimator", ALL, ids=name)
def test_chunks_add_up_to_the_whole(estimator):
    log = logged()
    terms = [estimator.terms(part) for part in parts(log, 33)]
    denominators = [each.denominator for each in terms]
    joined = Terms(
        np.concatenate([each.numerator for each in terms]),
        None if denominators[0] is None else np.concatenate(denominators),
    )
    assert joined.value == pytest.approx(estimate(estimator, log), rel=1e-12)


@pytest.mark.parametrize("estimator", ALL, ids=name)
def test_on_its_own_policy_with_a_right_model_it_is_the_mean_reward(estimator):
    log = logged()
    same = Logged(log.reward, log.propensity, log.propensity, log.reward, log.reward)
    assert estimate(estimator, same) == pytest.approx(float(log.reward.mean()), rel=1e-12)


@pytest.mark.parametrize("estimator", [each for each in ALL if each.models_rewards], ids=name)
def test_what_needs_a_model_says_so(estimator):
    with pytest.raises(ValueError, match="q_logged and q_target"):
        estimator.terms(logged(models=False))


@pytest.mark.parametrize("estimator", [each for each in ALL if not each.models_rewards], ids=name)
def test_what_needs_no_model_does_without(estimator):
    assert np.isfinite(estimate(estimator, logged(models=False)))


@pytest.mark.parametrize("estimator", sequences(), ids=name)
def test_one_trajectory_more_is_one_unit_more(estimator):
    log = chain(trajectories=30, length=4, seed=1)
    assert estimator.terms(log).numerator.shape == (30,)


@pytest.mark.parametrize("estimator", sequences(), ids=name)
def test_a_sequence_of_one_step_on_its_own_policy_is_the_mean_reward(estimator):
    log = chain(trajectories=400, length=1, seed=2)
    probabilities = np.full_like(log.target_probabilities, 0.5)
    own = Trajectories(
        log.trajectory, log.reward, log.propensity, log.propensity, log.state, log.action, probabilities
    )
    assert estimate(estimator, own) == pytest.approx(float(log.reward.mean()), abs=0.15)


def test_without_weight_a_ratio_is_not_defined():
    none = Logged(np.ones(3), np.full(3, 0.5), np.zeros(3))
    snips = next(each for each in ALL if each.name == "snips")
    assert np.isnan(estimate(snips, none))
