"""The page's application with code, taken from the page and run."""

from pathlib import Path
from typing import Any

import pytest

import shared.applications
from shared.applications.contract import FieldError
from shared.applications.registry import load
from tests.applications.rewards import one, row, together

PAGE = (Path(shared.applications.__file__).parent / "README.md").read_text()


@pytest.fixture
def parcels(tmp_path: Path) -> Any:
    (tmp_path / "settings.yaml").write_text(
        "application: parcels\nactions: [post, bike]\nreward: {default: 0.5}"
    )
    names: dict[str, Any] = {"__file__": str(tmp_path / "application.py"), "__name__": "parcels"}
    exec(compile(PAGE.partition("```python")[2].partition("```")[0], "README.md", "exec"), names)
    [found] = names["applications"]()
    return found


def test_the_page_s_application_rewards_and_refuses(parcels: Any) -> None:
    rows = [parcels.read_line({"days": days}) for days in (0, 3, 30)]
    found = together(parcels, [*rows, []])
    assert found.reward.tolist() == [0, -0.3, -1, 0.5]
    assert one(parcels, row("delivered", days=-1)) == 0
    with pytest.raises(FieldError) as refused:
        parcels.check_interaction("delivered", None, {"days": -1})
    assert refused.value.field == "attributes.days"
    assert parcels.actions == ["post", "bike"]


def test_the_page_names_every_application() -> None:
    for name in load():
        assert f"| `{name}` |" in PAGE
