"""The hand-over of pictures: in order, each to one taker, and each counted once where nobody takes it."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from conditions import PATIENCE, meanwhile, wait_for
from saccade.capture.offers import Offers
from saccade.capture.pool import SlotPool
from saccade.frame import Frame
from saccade.ledger import Ledger


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def offers(ledger: Ledger) -> Offers:
    return Offers(ledger)


def frame(sequence: int, released: list[int]) -> Frame:
    plane = np.zeros((4, 4, 3), np.uint8)
    return Frame(
        width=4, height=4, planes=(plane,), sequence=sequence, time=0.0, captured=0.0,
        on_release=lambda: released.append(sequence),
    )  # fmt: skip


def test_a_promise_holds_up_those_behind_it_until_it_is_kept(offers: Offers) -> None:
    promise, behind = offers.promise(), frame(1, [])
    offers.put(promise)
    offers.put(behind)
    assert offers.take(0) is None
    promise.set_result(None)
    assert offers.take(0) is promise
    assert offers.take(0) is behind


def test_who_waits_is_woken_when_a_promise_is_kept(offers: Offers) -> None:
    promise, taken = offers.promise(), []
    offers.put(promise)
    with meanwhile(lambda: taken.append(offers.take(PATIENCE))):
        wait_for(lambda: offers.waiting)
        promise.set_result(None)
    assert taken == [promise]


def test_the_end_wakes_all_and_leaves_what_waits(offers: Offers) -> None:
    taken: list[object] = []
    one = frame(0, [])
    with meanwhile(*[lambda: taken.append(offers.take(PATIENCE))] * 3):
        wait_for(lambda: offers.waiting == 3)
        offers.put(one)
        offers.end()
    assert sorted(map(str, taken)) == sorted(map(str, [one, None, None]))
    assert offers.ended


def test_what_nobody_took_ends_once(offers: Offers, ledger: Ledger) -> None:
    released: list[int] = []
    kept, damaged, failed = offers.promise(), offers.promise(), offers.promise()
    for offer in (frame(0, released), kept, damaged, failed):
        ledger.enter()
        assert offers.put(offer)
    offers.close()
    assert (released, ledger.account().open) == ([0], 3)
    kept.set_result(frame(1, released))
    damaged.set_result(None)
    failed.set_exception(MemoryError("no room for it"))
    assert released == [0, 1]
    assert (ledger.account().ended["ended"], ledger.account().open) == (3, 1), "who found it damaged has counted it"


def test_nothing_is_put_after_the_close(offers: Offers) -> None:
    offers.close()
    released: list[int] = []
    assert not offers.put(frame(0, released))
    assert not released, "it stays whose it was"
    assert offers.ended


def test_takers_are_behind_while_pictures_are_overtaken_and_until_one_waits(offers: Offers) -> None:
    first = frame(0, [])
    assert list(offers.overtake()) == []
    offers.put(first)
    assert not offers.behind
    assert list(offers.overtake()) == [first]
    assert offers.behind
    assert list(offers.overtake()) == []
    assert offers.behind, "nobody has waited since"
    with meanwhile(lambda: offers.take(PATIENCE)):
        wait_for(lambda: offers.waiting)
        offers.overtake()
        offers.put(first)
    assert not offers.behind


class TestPool:
    def test_one_that_waits_gets_the_slot_that_comes_back(self) -> None:
        pool, taken = SlotPool(1, 1000), []
        slot = pool.take(wait=True)
        assert slot is not None
        assert pool.take(wait=False) is None
        with meanwhile(lambda: taken.append(pool.take(wait=True))):
            pool.give_back(slot)
        assert taken == [slot]

    def test_more_slots_are_for_who_waits(self) -> None:
        pool, taken = SlotPool(0, 1000), []
        with meanwhile(lambda: taken.append(pool.take(wait=True))):
            pool.add(1)
        assert taken[0] is not None

    def test_a_closed_one_gives_none_out_and_takes_them_back(self) -> None:
        pool, begun = SlotPool(1, 1000), threading.Event()
        slot, taken = pool.take(wait=False), []
        assert slot is not None

        def wait() -> None:
            begun.set()
            taken.append(pool.take(wait=True))

        with meanwhile(wait):
            assert begun.wait(PATIENCE)
            pool.close()
        pool.give_back(slot)
        assert taken == [None]
        assert pool.take(wait=False) is None
        assert pool.free == [slot]
