"""Answers of a policy, scored: what it is measured by."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from shared.algorithms.language.samples import opening
from shared.algorithms.language.scoring import Scorer
from shared.algorithms.language.statistics import Numbers
from shared.algorithms.ppo.judging import Answers


class TextReward(torch.nn.Module):  # type: ignore[misc]
    """A reward model in the shape that trl asks for: it reads text, whatever the policy's tokens are.

    trl takes the score at one place of the sequence; here it is the same at every place. Scores are divided
    by `scale`.
    """

    base_model_prefix = "scorer"

    def __init__(self, scorer: Scorer, tokenizer: Any, scale: float = 1.0) -> None:
        super().__init__()
        self.tokenizer, self.score, self.reward = tokenizer, torch.nn.Identity(), scorer
        self.scale = scale

    def scorer(self, input_ids: Any, attention_mask: Any, **_: Any) -> SimpleNamespace:
        """Score sequences of the policy's tokens (n, t)."""
        texts = [
            self.tokenizer.decode(ids[mask.bool()], skip_special_tokens=True).lstrip()
            for ids, mask in zip(input_ids, attention_mask, strict=True)
        ]
        scores = torch.tensor(
            self.reward.score(texts) / self.scale, dtype=torch.float32, device=input_ids.device
        )
        return SimpleNamespace(hidden_states=[scores[:, None, None].expand(*input_ids.shape, 1)])


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn."""

    tokens: int
    temperature: float
    batch_size: int
    seed: int
    each: int = 1
    """Answers to each query."""


@torch.no_grad()  # type: ignore[untyped-decorator]
def answers(
    policy: Any, reference: Any, tokenizer: Any, scorer: Scorer, queries: Sequence[str], sampling: Sampling
) -> tuple[Answers, float]:
    """Sample answers to each query, means of them; also the divergence from the reference, nats per token."""
    torch.manual_seed(sampling.seed)
    asked = [query for query in queries for _ in range(sampling.each)]
    policy.eval()
    texts: list[str] = []
    lengths: list[Numbers] = []
    divergence = 0.0
    for start in range(0, len(asked), sampling.batch_size):
        prompts = [opening(query) for query in asked[start : start + sampling.batch_size]]
        read = tokenizer(prompts, padding=True, padding_side="left", return_tensors="pt").to(policy.device)
        written = policy.generate(
            **{name: read[name] for name in ("input_ids", "attention_mask")},
            do_sample=True,
            temperature=sampling.temperature,
            top_k=0,
            top_p=1.0,
            max_new_tokens=sampling.tokens,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        count = read["input_ids"].shape[1]
        ended = (written[:, count:] == tokenizer.eos_token_id).long()
        counted = (ended.cumsum(1) - ended) == 0
        mask = torch.cat([read["attention_mask"], counted.long()], dim=1)
        ours, theirs = (
            _log_likelihoods(model, written, mask, count, sampling.temperature)
            for model in (policy, reference)
        )
        divergence += float(((ours - theirs) * counted).sum())
        lengths.append(counted.sum(1).double().cpu().numpy())
        kept = zip(written, mask.bool(), strict=True)
        texts += [tokenizer.decode(ids[m], skip_special_tokens=True).lstrip() for ids, m in kept]
    every = np.concatenate(lengths)
    rewards, tokens = (each.reshape(-1, sampling.each).mean(axis=1) for each in (scorer.score(texts), every))
    return Answers(rewards, tokens), divergence / float(every.sum())


def _log_likelihoods(model: Any, ids: Any, mask: Any, count: int, temperature: float) -> Any:
    places = (mask.cumsum(1) - 1).clamp(min=0)
    logits = model(input_ids=ids, attention_mask=mask, position_ids=places, use_cache=False).logits
    each = torch.log_softmax(logits[:, count - 1 : -1].float() / temperature, dim=-1)
    return each.gather(-1, ids[:, count:, None]).squeeze(-1)
