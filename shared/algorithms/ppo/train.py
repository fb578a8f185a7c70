"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) of answers against a reward model.

The training is a row of segments of `checkpoint_every` updates. Each is a run of trl's trainer by itself,
with a seed of its own, from the state that the last one left: so a training that was cut short and goes on
gives the same weights as one that was not.
"""

import contextlib
import copy
import gc
import hashlib
import json
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import transformers
from trl.import_utils import TRLExperimentalWarning

from shared.algorithms.artefacts import ArtefactError, load
from shared.algorithms.contract import Dataset, NotTrainable, Progress
from shared.algorithms.language import held_out, models
from shared.algorithms.language.folders import model_folder
from shared.algorithms.language.samples import held_out_questions, opening
from shared.algorithms.language.scoring import Scorer
from shared.algorithms.language.training import Reporting, arguments, save, workspace
from shared.algorithms.ppo.answering import Sampling, TextReward, answers
from shared.algorithms.ppo.checkpoints import Checkpoints, Place
from shared.algorithms.ppo.declaration import TABLES, Parameters
from shared.algorithms.ppo.divergence import Control
from shared.algorithms.ppo.judging import Answers, Verdict, judge

with warnings.catch_warnings():
    # It says that another version may lack this module: the version is locked.
    warnings.simplefilter("ignore", TRLExperimentalWarning)
    from trl.experimental.ppo import PPOConfig, PPOTrainer

REPORT = "report.json"
#: trl's name for the end of sequence as the token that ends an answer.
END = "eos"


def summary(data: Dataset, parameters: Parameters) -> Mapping[str, Any]:
    """Counts of queries to train on and held out. Raises NotTrainable."""
    train_queries, held = _queries(data, parameters, 0)
    return {"train_queries": len(train_queries), "held_out_queries": len(held)}


def train(
    data: Dataset, parameters: Parameters, seed: int, out: Path, progress: Progress
) -> Mapping[str, float]:
    """Train, answer held-out queries before and after, and judge. Raises NotTrainable.

    `better` is 1 only if the reward grew at equal length and the divergence is within target; `report.json`
    says why not.
    """
    queries, held = _queries(data, parameters, seed)
    base = model_folder(parameters.base_model)
    scorer = _scorer(parameters)
    with workspace(seed) as scratch:
        tokenizer = models.tokenizer(base)
        tokenizer.padding_side = "left"
        queries, held = (_short_enough(each, tokenizer, parameters) for each in (queries, held))
        held = held[: parameters.measured]
        run = _Run(base, tokenizer, scorer, queries, parameters, seed, scratch)
        each = parameters.answers_per_query
        sampling = Sampling(parameters.response_length, parameters.temperature, 32, seed, each)
        before, _ = answers(run.reference, run.reference, tokenizer, scorer, held, sampling)
        if parameters.normalise_reward:
            asked, once = queries[: parameters.measured], replace(sampling, each=1)
            usual, _ = answers(run.reference, run.reference, tokenizer, scorer, asked, once)
            run.normalise(float(usual.rewards.std()))
        checkpoints = Checkpoints(out.parent / f".resuming-{_key(parameters, queries, seed)}")
        with _kept_from_collection():
            place = run.train(checkpoints, progress)
        progress(0.95, "answering held-out queries")
        after, divergence = answers(run.policy, run.reference, tokenizer, scorer, held, sampling)
        verdict = judge(before, after, divergence, parameters.target_kl, seed)
        save(run.policy, tokenizer, out)
    _keep_rows(held, before, after, divergence, place, parameters, out)
    _report(verdict, place, out)
    checkpoints.remove()
    progress(1.0, "done")
    return {
        "better": float(verdict.better and not place.ran_away),
        "reward_before": float(before.rewards.mean()),
        "reward_after": float(after.rewards.mean()),
        **verdict.gain.metrics("gain"),
        **verdict.gain_at_equal_length.metrics("gain_at_equal_length"),
        "kl": divergence,
        "kl_coefficient": place.coefficient,
        "length_before": float(before.lengths.mean()),
        "length_after": float(after.lengths.mean()),
        "train_queries": len(queries),
        "held_out_queries": len(held),
    }


class _Run:
    """Policy, value model and optimiser of one training."""

    def __init__(
        self,
        base: Path,
        tokenizer: Any,
        scorer: Scorer,
        queries: Sequence[str],
        parameters: Parameters,
        seed: int,
        scratch: str,
    ) -> None:
        self.tokenizer, self.parameters, self.seed, self.scratch = tokenizer, parameters, seed, scratch
        self.policy, self.reference = (models.causal(base).to(models.device()) for _ in range(2))
        self.value = _value_model(base, tokenizer, scorer).to(models.device())
        self.reward = TextReward(scorer, tokenizer)
        self.prompts = [tokenizer(opening(query))["input_ids"] for query in queries]
        weights = [*self.policy.parameters(), *self.value.parameters()]
        self.optimizer = torch.optim.AdamW(weights, lr=parameters.learning_rate)

    def normalise(self, deviation: float) -> None:
        """Count scores in deviations, also those that the value model starts with; without any they stay."""
        if deviation > 0:
            self.reward.scale = deviation
            with torch.no_grad():
                self.value.score.weight /= deviation

    def train(self, checkpoints: Checkpoints, progress: Progress) -> Place:
        """Train what is left of all segments."""
        every, updates = self.parameters.checkpoint_every, self.parameters.updates
        first = Place(0, self.parameters.initial_kl_coefficient)
        place = checkpoints.load(self.policy, self.value, self.optimizer) or first
        while place.segments * every < updates and not place.ran_away:
            done = place.segments * every
            place = self._segment(place, min(every, updates - done), done, progress)
            checkpoints.save(place, self.policy, self.value, self.optimizer)
        return place

    def _segment(self, place: Place, updates: int, done: int, progress: Progress) -> Place:
        chosen = self.parameters
        seed = (self.seed * 1_000_003 + place.segments) % 2**31
        transformers.set_seed(seed)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] = chosen.learning_rate
        schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: 1 - (done + step) / chosen.updates
        )
        steering = _Steering(Control(place.coefficient, chosen.target_kl), chosen.response_length)
        share = (0.9 * done / chosen.updates, 0.9 * (done + updates) / chosen.updates)
        trainer = PPOTrainer(
            args=self._configuration(seed, updates, place.coefficient),
            processing_class=self.tokenizer,
            model=self.policy,
            ref_model=self.reference,
            reward_model=self.reward,
            value_model=self.value,
            train_dataset=self._prompts(seed, updates),
            eval_dataset=self._prompts(seed, 1),
            optimizers=(self.optimizer, schedule),
            callbacks=[steering, Reporting(progress, "policy", *share)],
        )
        trainer.remove_callback(transformers.PrinterCallback)
        try:
            trainer.train()
        except _RanAwayError:
            return Place(place.segments + 1, steering.control.coefficient, ran_away=True)
        return Place(place.segments + 1, steering.control.coefficient)

    def _configuration(self, seed: int, updates: int, coefficient: float) -> PPOConfig:
        chosen = self.parameters
        return PPOConfig(
            **arguments(
                seed,
                self.scratch,
                learning_rate=chosen.learning_rate,
                per_device_train_batch_size=chosen.batch_size,
                num_mini_batches=chosen.batch_size // chosen.mini_batch_size,
                num_ppo_epochs=chosen.ppo_epochs,
                total_episodes=updates * chosen.batch_size,
                kl_coef=coefficient,
                response_length=chosen.response_length,
                temperature=chosen.temperature,
                stop_token=END,
                num_sample_generations=0,
                gradient_checkpointing=False,
            )
        )

    def _prompts(self, seed: int, updates: int) -> datasets.Dataset:
        """As many prompts as the updates take, drawn without replacement as far as there are enough."""
        count = updates * self.parameters.batch_size
        random = np.random.default_rng(seed)
        rounds = -(-count // len(self.prompts))
        order = np.concatenate([random.permutation(len(self.prompts)) for _ in range(rounds)])[:count]
        return datasets.Dataset.from_dict({"input_ids": [self.prompts[i] for i in order]})


def _value_model(base: Path, tokenizer: Any, scorer: Scorer) -> Any:
    """A copy of the reward model where it is causal and has the policy's tokens (Ouyang et al. 2022, C.4).

    It then tells from the first update on which queries score high whatever is answered; a new head on the
    policy's weights has to learn that first, and until then it drowns what an answer adds.
    """
    causal = getattr(scorer.model, "score", None) is not None
    if causal and scorer.tokenizer.get_vocab() == tokenizer.get_vocab():
        found = copy.deepcopy(scorer.model)
        found.config.pad_token_id = tokenizer.pad_token_id
        return found
    return models.scalar(base, tokenizer.pad_token_id)


@contextlib.contextmanager
def _kept_from_collection() -> Iterator[None]:
    """trl collects garbage twice an update, through all that libraries hold: a third of a second each."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _RanAwayError(Exception):
    """The divergence is beyond what steering can bring back."""


class _Steering(transformers.TrainerCallback):  # type: ignore[misc]
    """Sets the coefficient after each update by its divergence, and ends a training that ran away."""

    def __init__(self, control: Control, tokens: int) -> None:
        self.control, self.tokens = control, tokens

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float], **_: Any) -> None:
        """trl logs each update's divergence, summed over the answer."""
        divergence = logs["objective/kl"] / self.tokens
        self.control = self.control.after(divergence)
        args.kl_coef = self.control.coefficient
        if self.control.ran_away(divergence):
            raise _RanAwayError


def _queries(data: Dataset, parameters: Parameters, seed: int) -> tuple[list[str], list[str]]:
    found = data.table("feedback", TABLES["feedback"])["query"].unique().sort()
    found = found.filter(found.str.strip_chars() != "")
    if len(found) < parameters.min_samples:
        raise NotTrainable(
            f"feedback: {len(found)} queries, where min_samples asks for {parameters.min_samples}"
        )
    held = held_out_questions(found, parameters.held_out, seed)
    return found.filter(~held).to_list(), found.filter(held).to_list()


def _short_enough(queries: Sequence[str], tokenizer: Any, parameters: Parameters) -> list[str]:
    limit = parameters.prompt_length
    kept = [query for query in queries if len(tokenizer(opening(query))["input_ids"]) <= limit]
    if len(kept) < 2:
        raise NotTrainable(f"feedback: {len(kept)} of {len(queries)} queries have at most {limit} tokens")
    return kept


def _scorer(parameters: Parameters) -> Scorer:
    try:
        artefact = load(model_folder(parameters.reward_model, "reward_model"))
    except ArtefactError as error:
        raise NotTrainable(f"reward_model: {error}") from error
    if artefact.manifest.algorithm != "reward_model":
        raise NotTrainable(f"reward_model: {artefact.folder} is a candidate of {artefact.manifest.algorithm}")
    return Scorer.load(artefact.folder)


def _key(parameters: Parameters, queries: Sequence[str], seed: int) -> str:
    """Names the training by all that it depends on."""
    document = json.dumps([asdict(parameters), list(queries), seed], sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()[:32]


def _keep_rows(
    held: Sequence[str],
    before: Answers,
    after: Answers,
    divergence: float,
    place: Place,
    parameters: Parameters,
    out: Path,
) -> None:
    """Rows of what was measured, and those of the reward model that measured it."""
    rows = held_out.Answers(
        question=held_out.numbered(held),
        before=before.rewards.tolist(),
        after=after.rewards.tolist(),
        before_length=before.lengths.tolist(),
        after_length=after.lengths.tolist(),
        divergence=divergence,
        largest_divergence=parameters.target_kl,
        ran_away=place.ran_away,
    )
    held_out.write(out, rows)
    scored = model_folder(parameters.reward_model, "reward_model") / held_out.FILE
    if scored.is_file():
        shutil.copyfile(scored, out / held_out.JUDGE)


def _report(verdict: Verdict, place: Place, out: Path) -> None:
    reasons = [*verdict.reasons, *(["the divergence ran away in training"] if place.ran_away else [])]
    document = {"verdict": "not better" if reasons else "better", "reasons": reasons}
    (out / REPORT).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
