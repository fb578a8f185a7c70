"""What waits for a partition is bounded by its size, not by its number."""

import asyncio

from shared.broker.inbox import Inbox


async def test_many_small_items_wait_and_one_large_one() -> None:
    inbox: Inbox[str] = Inbox(100)
    for n in range(10):
        await inbox.put(f"small {n}", 10)
    assert not inbox.full
    await inbox.put("large", 500)
    assert inbox.full
    waiting = asyncio.create_task(inbox.put("next", 1))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert inbox.take() == [*(f"small {n}" for n in range(10)), "large"]
    await waiting
    assert inbox.take() == ["next"]
    assert not len(inbox)


async def test_as_much_is_taken_as_fits_and_at_least_one() -> None:
    inbox: Inbox[int] = Inbox(1000)
    for n, size in enumerate((60, 50, 40, 5)):
        inbox.add(n, size)
    assert inbox.take(10) == [0]
    assert inbox.take(90) == [1, 2]
    assert inbox.take(90) == [3]
    assert inbox.take(90) == []


async def test_the_taker_waits_until_something_is_there() -> None:
    inbox: Inbox[str] = Inbox(1)
    taker = asyncio.create_task(inbox.wait())
    await asyncio.sleep(0)
    assert not taker.done()
    inbox.add("tick")
    await taker
    assert inbox.take() == ["tick"]
