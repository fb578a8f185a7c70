"""Decisions to bytes: the record in Avro, put together by hand for speed, and the reply in JSON.

A test holds the record against what fastavro writes.
"""

import struct
from collections.abc import Iterable
from typing import Any

import numpy as np
import orjson

from services.online_bandit.api.deciding import Choice, Decides, Placed
from services.online_bandit.api.requests import Asked
from shared.applications.contract import Application, Attribute
from shared.wire.rollouts import Arm
from shared.wire.schemas import schema

_DOUBLE = struct.Struct("<d")
_END = b"\0"
_NULL, _VALUE = b"\0", b"\2"
_NO_ROLLOUT = _NULL + _NULL + _NULL


def _long(value: int) -> bytes:
    rest = value << 1 if value >= 0 else (value << 1) ^ -1
    groups = bytearray()
    while rest > 0x7F:
        groups.append(rest & 0x7F | 0x80)
        rest >>= 7
    groups.append(rest)
    return bytes(groups)


_LONGS = [_long(value) for value in range(1024)]


def _count(value: int) -> bytes:
    return _LONGS[value] if value < 1024 else _long(value)


def _string(value: str) -> bytes:
    encoded = value.encode()
    return _count(len(encoded)) + encoded


def _array(items: Iterable[bytes]) -> bytes:
    parts = list(items)
    return b"".join((_count(len(parts)), *parts, _END)) if parts else _END


def _numbers(array: "np.ndarray[Any, np.dtype[Any]]") -> bytes:
    return _count(array.size) + array.tobytes() + _END if array.size else _END


def _attribute(attribute: Attribute) -> bytes:
    number, text = attribute["number"], attribute["text"]
    return b"".join(
        (
            _string(attribute["name"]),
            _NULL if number is None else _VALUE + _DOUBLE.pack(number),
            _NULL if text is None else _VALUE + _string(text),
        )
    )


class Encoder:
    """Records and replies of one application's decisions."""

    def __init__(self, application: Application) -> None:
        self._prefix = schema("decisions").prefix
        self._application = _string(application.name)
        self._names = {name: _string(name) for name in application.actions}
        stated = {name: application.parameters(name) for name in application.actions}
        self._stated = {name: each for name, each in stated.items() if each is not None}
        self._parameters = {name: orjson.Fragment(orjson.dumps(each)) for name, each in self._stated.items()}
        self._numbers = application.vector_action.numbers if application.vector_action else ()
        self._stamps: dict[Arm | None, tuple[Decides, tuple[int, ...], bytes]] = {}
        """Of each arm the policy and offsets that decided last, and their bytes."""

    def encode(self, asked: Asked, choice: Choice, decided_at: int) -> bytes:
        """The record in Avro's single-object encoding; `decided_at` in ms since 1970."""
        names, action = self._names, choice.action
        return b"".join(
            (
                self._prefix,
                _string(choice.decision_id),
                self._application,
                _string(asked.subject_id),
                self._stamp(choice),
                names.get(action) or _string(action),
                _DOUBLE.pack(choice.propensity),
                _END if choice.every else _array(names.get(name) or _string(name) for name in choice.names),
                _numbers(choice.row),
                _numbers(asked.context),
                _numbers(asked.action_features),
                self._attributes(asked, choice),
                b"\1" if asked.deferred else b"\0",
                _NO_ROLLOUT if choice.placed is None else _rollout(choice.placed),
                _long(decided_at),
            )
        )

    def reply(self, asked: Asked, choice: Choice) -> dict[str, Any]:
        """The document that answers the request."""
        placed = choice.placed
        document = {
            "decision_id": choice.decision_id,
            "action": choice.action,
            "propensity": choice.propensity,
            "probabilities": dict(zip(choice.names, choice.probabilities, strict=True)),
            "policy": {"name": choice.policy.name, "version": choice.policy.version},
            "rollout": None if placed is None else {"arm": placed.arm, "share": placed.share},
        }
        if choice.vector:
            document["parameters"] = dict(zip(self._numbers, choice.vector, strict=True))
        elif choice.action in self._parameters:
            document["parameters"] = self._parameters[choice.action]
        if more := asked.application.asked_of(asked.subject_id):
            document["parameters"] = {**self._stated.get(choice.action, {}), **more}
        return document

    def _stamp(self, choice: Choice) -> bytes:
        policy, offsets = choice.policy, choice.offsets
        arm = choice.placed.arm if choice.placed else None
        known = self._stamps.get(arm)
        if known is not None and known[0] is policy and known[1] is offsets:
            return known[2]
        stamp = _string(policy.name) + _long(policy.version) + _array(map(_long, offsets))
        self._stamps[arm] = policy, offsets, stamp
        return stamp

    def _attributes(self, asked: Asked, choice: Choice) -> bytes:
        """The raw inputs, and the numbers of a vector action."""
        if choice.vector:
            numbers = zip(self._numbers, choice.vector, strict=True)
            own: list[Attribute] = [{"name": name, "number": n, "text": None} for name, n in numbers]
            return _array(map(_attribute, asked.attributes + own))
        return _array(map(_attribute, asked.attributes)) if asked.attributes else _END


def _rollout(placed: Placed) -> bytes:
    share, mixture = _DOUBLE.pack(placed.share), _DOUBLE.pack(placed.mixture_propensity)
    return b"".join((_VALUE, _string(placed.arm), _VALUE, share, _VALUE, mixture))


def dumps(document: Any) -> bytes:
    """JSON."""
    return orjson.dumps(document)
