"""tokenizer.json as llama.cpp wants it: tokens with scores (SentencePiece) or merges (byte level)."""

import json
import re
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

from shared.algorithms.export.errors import NotExportable

#: llama.cpp merges by score; no merge makes a token of this one.
NEVER = -1e6
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
#: How llama.cpp calls the pattern that splits a text before byte-level merging.
PATTERNS = {
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+": "llama-bpe",
}


class Kind(IntEnum):
    """Kinds of tokens, numbered as in GGUF."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class Vocabulary:
    """A tokeniser in llama.cpp's terms; `scores` or `merges` may be empty, as the model has use for one."""

    model: str
    pattern: str
    tokens: list[str]
    kinds: list[int]
    scores: list[float]
    merges: list[str]
    special: dict[str, int]
    """bos, eos, unk, pad → id, those there are."""
    adds_bos: bool
    adds_space: bool
    chat_template: str | None = field(default=None)


def read_vocabulary(folder: Path, size: int) -> Vocabulary:
    """Read a tokeniser of at most `size` tokens; ids beyond its own are filled as unused.

    Raises NotExportable for a kind of tokeniser that is not written here.
    """
    document = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    model = document["model"]
    if model["type"] != "BPE":
        raise NotExportable(f"{folder}: a tokeniser of type {model['type']}, where BPE is needed")
    added = {token["content"]: token for token in document.get("added_tokens", [])}
    ids = {**model["vocab"], **{content: token["id"] for content, token in added.items()}}
    tokens = [f"[PAD{i}]" for i in range(size)]
    kinds = [int(Kind.UNUSED)] * size
    for token, i in ids.items():
        if i >= size:
            raise NotExportable(f"{folder}: token {token!r} has id {i}, and the model {size} embeddings")
        tokens[i], kinds[i] = token, _kind(token, added, model.get("unk_token"))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    sentencepiece = bool(model.get("byte_fallback"))
    return Vocabulary(
        model="llama" if sentencepiece else "gpt2",
        pattern="default" if sentencepiece else _pattern(document, folder),
        tokens=tokens,
        kinds=kinds,
        scores=_scores(tokens, merges) if sentencepiece else [],
        merges=[] if sentencepiece else merges,
        special=_special(settings, ids),
        adds_bos=_adds_bos(document, settings),
        adds_space=_adds_space(document),
        chat_template=_chat_template(folder, settings),
    )


def _kind(token: str, added: dict[str, Any], unknown: str | None) -> int:
    if token == unknown:
        return Kind.UNKNOWN
    if token in added:
        return Kind.CONTROL if added[token]["special"] else Kind.USER_DEFINED
    return Kind.BYTE if _BYTE.fullmatch(token) else Kind.NORMAL


def _scores(tokens: list[str], merges: list[str]) -> list[float]:
    """Higher for what is merged earlier, so that merging by score takes the order of the merges."""
    ranks: dict[str, int] = {}
    for rank, pair in enumerate(merges):
        ranks.setdefault(pair.replace(" ", "", 1), rank)
    return [float(-1 - ranks[token]) if token in ranks else NEVER for token in tokens]


def _parts(step: dict[str, Any] | None, members: str) -> list[dict[str, Any]]:
    """Steps of a sequence, of a single one, or of none."""
    if step is None:
        return []
    return list(step[members]) if step["type"] == "Sequence" else [step]


def _pattern(document: dict[str, Any], folder: Path) -> str:
    steps = _parts(document.get("pre_tokenizer"), "pretokenizers")
    if not any(step["type"] == "ByteLevel" for step in steps):
        raise NotExportable(f"{folder}: a BPE tokeniser that is neither byte-level nor falls back to bytes")
    patterns = [step["pattern"].get("Regex") for step in steps if step["type"] == "Split"]
    others = {step["type"] for step in steps} - {"ByteLevel", "Split"}
    if not patterns and not others:
        return "gpt-2"
    if len(patterns) == 1 and not others and patterns[0] in PATTERNS:
        return PATTERNS[patterns[0]]
    raise NotExportable(f"{folder}: its tokeniser splits texts in a way that has no name here: {patterns}")


def _special(settings: dict[str, Any], ids: dict[str, int]) -> dict[str, int]:
    found = {}
    for name in ("bos", "eos", "unk", "pad"):
        token = settings.get(f"{name}_token")
        content = token["content"] if isinstance(token, dict) else token
        if content in ids:
            found[name] = ids[content]
    return found


def _adds_bos(document: dict[str, Any], settings: dict[str, Any]) -> bool:
    for step in _parts(document.get("post_processor"), "processors"):
        if step["type"] == "TemplateProcessing":
            return "SpecialToken" in step["single"][0]
    return bool(settings.get("add_bos_token", False))


def _adds_space(document: dict[str, Any]) -> bool:
    normal = _parts(document.get("normalizer"), "normalizers")
    before = _parts(document.get("pre_tokenizer"), "pretokenizers")
    return any(step["type"] == "Prepend" for step in normal) or any(
        step["type"] == "Metaspace" and step.get("prepend_scheme", "always") != "never" for step in before
    )


def _chat_template(folder: Path, settings: dict[str, Any]) -> str | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = settings.get("chat_template")
    return template if isinstance(template, str) else None
