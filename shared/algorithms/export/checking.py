"""Whether a GGUF file writes what the model in transformers writes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from shared.algorithms.export.errors import NotExportable
from shared.algorithms.export.generating import Generated, generate
from shared.algorithms.language import models

TOKENS = 32
#: Read alike by llama.cpp and transformers, or the file is refused: another text is another prompt.
PROMPTS = (
    "User query: How did sales do in May?\nAvailable scenarios: [kpi, trend, table]\n",
    "Query: What is the capital of France?\nResponse:",
    "Once upon a time, there was a little girl",
    "Größe, naïve — 42 % of “all”\n\n",
)


@dataclass(frozen=True)
class Parity:
    """`share` of the model's greedy tokens are the file's too after the same text before them.

    `whole` prompts are continued alike from beginning to end, each by its own tokens.
    """

    prompts: int
    tokens: int
    share: float
    whole: int

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def parity(folder: Path, file: Path, prompts: Sequence[str] = PROMPTS, tokens: int = TOKENS) -> Parity:
    """Compare `tokens` greedy tokens after each prompt.

    Raises NotExportable if the file cannot be used or reads a prompt as other tokens, or nothing is written.
    """
    ours = _transformers(folder, prompts, tokens)
    theirs = generate(file, prompts, tokens, [each.generated for each in ours])
    for prompt, mine, other in zip(prompts, ours, theirs, strict=True):
        if mine.prompt != other.prompt:
            raise NotExportable(
                f"{file}: reads {prompt!r:.60} as tokens {other.prompt[:12]}…,"
                f" transformers as {mine.prompt[:12]}…"
            )
    total = sum(len(mine.generated) for mine in ours)
    if total == 0:
        raise NotExportable(f"{folder}: the model ends every answer at once, so nothing can be compared")
    both = list(zip(ours, theirs, strict=True))
    equal = sum(
        first == second
        for mine, other in both
        for first, second in zip(mine.generated, other.following, strict=True)
    )
    whole = sum(mine.generated == other.generated for mine, other in both)
    return Parity(len(prompts), total, equal / total, whole)


@torch.no_grad()  # type: ignore[untyped-decorator]
def _transformers(folder: Path, prompts: Sequence[str], tokens: int) -> list[Generated]:
    tokenizer, model = models.tokenizer(folder), models.causal(folder)
    model.eval()
    end = tokenizer.eos_token_id
    found = []
    for prompt in prompts:
        read = tokenizer(prompt, return_tensors="pt")
        count = read["input_ids"].shape[1]
        written = model.generate(
            input_ids=read["input_ids"],
            attention_mask=read["attention_mask"],
            do_sample=False,
            max_new_tokens=tokens,
            eos_token_id=end,
            pad_token_id=tokenizer.pad_token_id,
        )[0, count:].tolist()
        text = [each for each in written if each != end]
        found.append(Generated(read["input_ids"][0].tolist(), text, text))
    return found
