"""Generate from a GGUF file with llama.cpp, in a process of its own, which a broken file may end.

As a program it reads {"model", "prompts", "tokens", "follow"} from stdin and prints a `Generated` for each.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.algorithms.export.errors import NotExportable

#: Seconds for loading and generating: a 7B model on two cores makes two tokens a second.
LONGEST = 1800.0
#: Tokens that llama.cpp reads and writes at most, in a check.
CONTEXT = 2048


@dataclass(frozen=True)
class Generated:
    """Token ids of a prompt as it is read, of what is written greedily after it, and of what would follow."""

    prompt: list[int]
    generated: list[int]
    following: list[int]
    """The likeliest token after the prompt and each beginning of the text that was given to follow."""


def generate(
    model: Path, prompts: Sequence[str], tokens: int, follow: Sequence[list[int]] = ()
) -> list[Generated]:
    """Load the file and continue each prompt greedily, and token by token along `follow`.

    Raises NotExportable if the file cannot be used.
    """
    texts = list(follow) or [[] for _ in prompts]
    asked = json.dumps({"model": str(model), "prompts": list(prompts), "tokens": tokens, "follow": texts})
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__], input=asked, capture_output=True, text=True, timeout=LONGEST
        )
    except subprocess.TimeoutExpired as error:
        raise NotExportable(f"{model}: nothing generated within {LONGEST:.0f} s") from error
    if done.returncode:
        raise NotExportable(f"{model}: llama.cpp cannot use it: {' '.join(done.stderr.split())[-500:]}")
    return [Generated(**each) for each in json.loads(done.stdout.splitlines()[-1])]


def _answer(asked: dict[str, Any]) -> list[dict[str, Any]]:
    import httpx
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = asked["model"]
    parameters.n_ctx = CONTEXT
    parameters.n_parallel = 1
    parameters.n_gpu_layers = 0
    parameters.warmup = False
    # The cache in 32 bits: in 16, what is measured would be the cache's rounding, not the file's.
    parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = xllamacpp.Server(parameters)
    found = []
    with httpx.Client(base_url=server.listening_address, timeout=LONGEST) as client:

        def written(ids: list[int], count: int) -> list[int]:
            request = {
                "prompt": ids,
                "n_predict": count,
                "temperature": 0,
                "top_k": 1,
                "return_tokens": True,
            }
            reply = client.post("/completion", json=request).raise_for_status().json()
            tokens: list[int] = reply["tokens"]
            return tokens

        for prompt, text in zip(asked["prompts"], asked["follow"], strict=True):
            read = client.post("/tokenize", json={"content": prompt, "add_special": True})
            ids = read.raise_for_status().json()["tokens"]
            after = [written(ids + text[:i], 1) for i in range(len(text))]
            following = [each[0] if each else -1 for each in after]
            found.append({"prompt": ids, "generated": written(ids, asked["tokens"]), "following": following})
    return found


if __name__ == "__main__":
    print(json.dumps(_answer(json.load(sys.stdin))))  # noqa: T201
