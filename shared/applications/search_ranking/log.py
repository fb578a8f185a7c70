"""One line of the search log: a search, how it was ranked, and what came of it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from shared.applications.attributes import attribute
from shared.applications.contract import FieldError
from shared.applications.reading import Id, Number, Record, Text, Whole, validated
from shared.applications.search_ranking.state import Value
from shared.applications.search_ranking.weights import read_weights

MOST_RANKS = 10_000
"""Products of one ranking."""

NONE = "none"
"""The type of an interaction that says that nothing was done."""

UserAction = Literal["click", "wishlist", "cart", "purchase", "none"]
Price = Annotated[Number, Field(ge=0, le=1e9)]
Rank = Annotated[Whole, Field(ge=1, le=MOST_RANKS)]
ProductId = Text | int
Values = Mapping[str, Any]


class Product(Record):
    """A product at its place of the ranking."""

    product_id: ProductId | None = None
    price: Price | None = None
    category: str | None = None


class Outcomes(Record):
    """What the user did, and with the products of which ranks (1-based)."""

    user_action: UserAction
    purchased_ranks: Annotated[list[Rank], Field(max_length=MOST_RANKS)] | None = None
    purchased_total_value: Price | None = None


class Acted(Record):
    """The attributes of an interaction with a product."""

    rank: Rank
    price: Price | None = None
    product_id: ProductId | None = None
    category: str | None = None


class LoggedState(Record):
    """The state as it was logged; what is missing of it is told where the state is read."""

    user_features: dict[str, Any] | None = None
    candidate_features: dict[str, Any] | None = None
    session_features: dict[str, Any] | None = None


class SearchLog(Record):
    """A line. A reward needs `outcomes` and, for prices, `ranking_metadata` in the order of the ranks."""

    log_id: Id | int | None = None
    created_at: Id | Value | None = None
    state: LoggedState | None = None
    action: list[Any] | dict[str, Any] | None = None
    ranking: Annotated[list[ProductId], Field(max_length=MOST_RANKS)] | None = None
    ranking_metadata: Annotated[list[Product], Field(max_length=MOST_RANKS)] | None = None
    outcomes: Outcomes
    reward: Value | None = None

    @property
    def ranks(self) -> list[int]:
        """The ranks that count: none where nothing was done."""
        return [] if self.outcomes.user_action == NONE else (self.outcomes.purchased_ranks or [])

    def price(self, rank: int) -> float | None:
        """Price of the product at a rank; None where it is not known."""
        known = self.ranking_metadata or []
        return known[rank - 1].price if rank <= len(known) else None

    def rows(self) -> list[dict[str, Any]]:
        """As the stream has it: one interaction for each rank, or one of type none."""
        kind = self.outcomes.user_action
        rows = [_row(kind, {"rank": rank, "price": self.price(rank)}) for rank in self.ranks]
        return rows or [_row(NONE, {})]


def read_log(line: Values) -> SearchLog:
    """One line. Raises `FieldError`."""
    found = validated(SearchLog, line)
    if found.action is not None:
        read_weights(found.action)
    ranks = found.outcomes.purchased_ranks or []
    if len(set(ranks)) < len(ranks):
        raise FieldError("outcomes.purchased_ranks", "has a rank more than once")
    _check_state(found.state)
    return found


def _check_state(state: LoggedState | None) -> None:
    """Numbers of a state have to be finite, wherever they stand."""
    for group, features in (state or LoggedState()).model_dump(exclude_none=True).items():
        for name, value in features.items():
            inner = value.items() if isinstance(value, dict) else [("", value)]
            for key, number in inner:
                if isinstance(number, float) and number - number != 0:
                    raise FieldError(f"state.{group}.{name}.{key}".rstrip("."), "must be a finite number")


def _row(kind: str, values: Mapping[str, float | None]) -> dict[str, Any]:
    attributes = [attribute(name, value, name) for name, value in values.items() if value is not None]
    return {"type": kind, "value": None, "attributes": attributes}
