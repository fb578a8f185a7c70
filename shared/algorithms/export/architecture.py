"""What a Llama's config.json says, checked: other architectures lay their tensors out in other ways."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.algorithms.export.errors import NotExportable

SUPPORTED = "LlamaForCausalLM"
ROPE_KINDS = ("default", "linear", "llama3")


@dataclass(frozen=True)
class Llama:
    """Sizes of a Llama, in llama.cpp's terms."""

    vocabulary: int
    context: int
    width: int
    layers: int
    feed_forward: int
    heads: int
    key_value_heads: int
    head_width: int
    epsilon: float
    rope_base: float
    rope: dict[str, Any]
    tied: bool

    def rope_factors(self) -> npt.NDArray[np.float32] | None:
        """Divisors (head_width / 2,) of the rotary frequencies after Llama 3.1, None for the other kinds."""
        if self.rope["rope_type"] != "llama3":
            return None
        factor, original = self.rope["factor"], self.rope["original_max_position_embeddings"]
        low, high = self.rope["low_freq_factor"], self.rope["high_freq_factor"]
        frequencies = self.rope_base ** -(np.arange(0, self.head_width, 2) / self.head_width)
        turns = original * frequencies / (2 * math.pi)
        smooth = np.clip((turns - low) / (high - low), 0, 1)
        return np.asarray(1 / ((1 - smooth) / factor + smooth), np.float32)


def read_llama(folder: Path) -> Llama:
    """Read and check config.json. Raises NotExportable naming what is not supported."""
    document = json.loads((folder / "config.json").read_text())
    kinds = document.get("architectures") or ["none"]
    if SUPPORTED not in kinds:
        raise NotExportable(
            f"{folder}: architecture {', '.join(kinds)}; only {SUPPORTED} is written as GGUF here,"
            " llama.cpp's convert_hf_to_gguf.py knows more"
        )
    if (activation := document.get("hidden_act", "silu")) != "silu":
        raise NotExportable(f"{folder}: hidden_act {activation}, where llama.cpp computes silu")
    rope = document.get("rope_parameters") or document.get("rope_scaling") or {}
    rope = {**rope, "rope_type": rope.get("rope_type", rope.get("type", "default"))}
    if rope["rope_type"] not in ROPE_KINDS:
        raise NotExportable(f"{folder}: rope_type {rope['rope_type']}, not one of {', '.join(ROPE_KINDS)}")
    heads, width = document["num_attention_heads"], document["hidden_size"]
    return Llama(
        vocabulary=document["vocab_size"],
        context=document["max_position_embeddings"],
        width=width,
        layers=document["num_hidden_layers"],
        feed_forward=document["intermediate_size"],
        heads=heads,
        key_value_heads=document.get("num_key_value_heads") or heads,
        head_width=document.get("head_dim") or width // heads,
        epsilon=document["rms_norm_eps"],
        rope_base=rope.get("rope_theta") or document.get("rope_theta", 10000.0),
        rope=rope,
        tied=bool(document.get("tie_word_embeddings", False)),
    )
