"""A loop is ill when it has work and stands still, or when nobody reports on it."""

from shared.telemetry.health import Health


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_loop_is_alive_while_it_has_nothing_to_do() -> None:
    clock = Clock()
    health = Health(clock)
    loop = health.loop("join", limit=10)
    for clock.now in range(0, 100, 5):
        loop.observe(lag=0)
        assert health.illnesses() == []


def test_a_loop_with_lag_that_moves_is_alive_and_one_that_stands_is_ill() -> None:
    clock = Clock()
    health = Health(clock)
    loop = health.loop("join", limit=10)
    for clock.now in range(0, 60, 5):
        loop.observe(lag=100, position=clock.now)
    assert health.illnesses() == []
    for clock.now in range(60, 75, 5):
        loop.observe(lag=100, position=55)
    [problem] = health.illnesses()
    assert "no progress for 15.0 s with 100 records waiting" in problem
    loop.observe(lag=99, position=56)
    assert health.illnesses() == []


def test_lag_after_a_long_rest_gets_the_full_limit() -> None:
    clock = Clock()
    health = Health(clock)
    loop = health.loop("join", limit=10)
    for clock.now in (5, 10, 15, 20):
        loop.observe(lag=0, position=1)
    for clock.now in (25, 33):
        loop.observe(lag=7, position=1)
    assert health.illnesses() == []
    clock.now = 36
    loop.observe(lag=7, position=1)
    assert len(health.illnesses()) == 1


def test_silence_is_an_illness() -> None:
    clock = Clock()
    health = Health(clock)
    loop = health.loop("join", limit=10)
    clock.now = 11
    assert "no report" in health.illnesses()[0]
    loop.beat()
    assert health.illnesses() == []


def test_ready_asks_every_check_and_the_loops() -> None:
    clock = Clock()
    health = Health(clock)
    missing: list[str | None] = ["no snapshot"]
    health.check("policy", lambda: missing[0])
    assert health.hindrances() == ["policy: no snapshot"]
    missing[0] = None
    assert health.hindrances() == []
    health.loop("join", limit=10)
    clock.now = 11
    assert len(health.hindrances()) == 1
