from moa_server.journal.reachability import Reachability
from tests.journal.clock import HandClock


def answered(health: Reachability, clock: HandClock, seconds: int) -> None:
    for _ in range(seconds):
        clock.advance(1)
        health.succeeded()


def test_a_store_is_settled_after_answering_for_its_time() -> None:
    clock = HandClock()
    health = Reachability(5, clock.monotonic)
    assert not health.is_settled
    answered(health, clock, 5)
    assert not health.is_settled
    answered(health, clock, 1)
    assert health.is_settled


def test_a_failure_begins_the_time_anew() -> None:
    clock = HandClock()
    health = Reachability(5, clock.monotonic)
    answered(health, clock, 9)
    health.failed()
    assert not health.is_settled
    answered(health, clock, 5)
    assert not health.is_settled


def test_a_frozen_server_does_not_trust_what_it_knew() -> None:
    clock = HandClock()
    health = Reachability(5, clock.monotonic)
    answered(health, clock, 9)
    clock.advance(60)
    assert not health.is_settled
    answered(health, clock, 1)
    assert not health.is_settled
