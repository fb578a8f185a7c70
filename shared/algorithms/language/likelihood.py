"""How likely a model finds a text after a prompt."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from shared.algorithms.language.statistics import Numbers


@torch.no_grad()  # type: ignore[untyped-decorator]
def mean_log_likelihoods(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    answers: Sequence[str],
    batch_size: int,
) -> Numbers:
    """Mean log-likelihood of each answer's tokens and the end of sequence after it, in nats, shape (n,)."""
    found = []
    for start in range(0, len(prompts), batch_size):
        rows = zip(prompts[start : start + batch_size], answers[start : start + batch_size], strict=True)
        tokens = [_tokens(tokenizer, prompt, answer) for prompt, answer in rows]
        found.append(_batch(model, tokens, tokenizer.pad_token_id))
    return np.concatenate(found)


def _tokens(tokenizer: Any, prompt: str, answer: str) -> tuple[list[int], int]:
    """Tokens of both, and how many at the end are the answer's."""
    before = len(tokenizer(prompt)["input_ids"])
    ids = tokenizer(prompt + answer + (tokenizer.eos_token or ""))["input_ids"]
    return ids, len(ids) - before


def _batch(model: Any, rows: Sequence[tuple[list[int], int]], pad: int) -> Numbers:
    width = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([row + [pad] * (width - len(row)) for row, _ in rows], device=model.device)
    attention = torch.tensor(
        [[1] * len(row) + [0] * (width - len(row)) for row, _ in rows], device=model.device
    )
    answer = torch.zeros_like(attention)
    for i, (row, count) in enumerate(rows):
        answer[i, len(row) - count : len(row)] = 1
    logits = model(input_ids=ids, attention_mask=attention, use_cache=False).logits[:, :-1]
    each = torch.log_softmax(logits.float(), dim=-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
    mask = answer[:, 1:]
    found: Numbers = ((each * mask).sum(1) / mask.sum(1)).double().cpu().numpy()
    return found
