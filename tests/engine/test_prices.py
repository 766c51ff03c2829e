"""What calls cost, and the most that they can: by price and by what endpoints report, caches and reasoning included."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from moa_server.domain.usage import Price, Usage
from moa_server.engine.plans.worst_case import priced
from tests.engine.fakes import spec

MILLION = 1_000_000
NANO = st.integers(0, 10**12)
PRICES = st.builds(
    Price,
    input=NANO,
    output=NANO,
    cached_input=st.none() | NANO,
    reasoning=st.none() | NANO,
    cache_write=st.none() | NANO,
)
COUNTS = st.integers(0, 10**7)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """What an endpoint can report: no part is more than its whole."""
    fresh, read, written, said, thought = (draw(COUNTS) for _ in range(5))
    return Usage(
        input_tokens=fresh + read + written,
        output_tokens=said + thought,
        cached_input_tokens=read,
        reasoning_tokens=thought,
        cache_write_tokens=written,
    )


def test_what_was_written_to_a_cache_has_a_price_of_its_own() -> None:
    price = Price(2_000_000_000, 10_000_000_000, 200_000_000, cache_write=2_500_000_000)
    usage = Usage(input_tokens=3 * MILLION, cached_input_tokens=MILLION, cache_write_tokens=MILLION)
    assert price.cost_nanousd(usage) == 2_000_000_000 + 200_000_000 + 2_500_000_000
    assert replace(price, cache_write=None).cost_nanousd(usage) == 2 * 2_000_000_000 + 200_000_000
    assert priced(usage, spec("m", price=price)).cost_nanousd == 4_700_000_000


def test_the_worst_case_takes_all_input_for_written_to_a_cache_where_that_is_dearest() -> None:
    price = Price(2_000_000_000, 10_000_000_000, cache_write=4_000_000_000)
    assert price.dearest_nanousd(MILLION, MILLION) == 14_000_000_000
    assert replace(price, cache_write=1).dearest_nanousd(MILLION, MILLION) == 12_000_000_000


@given(PRICES, usages())
def test_nothing_costs_more_than_the_most_it_can(price: Price, usage: Usage) -> None:
    most = price.dearest_nanousd(usage.input_tokens, usage.output_tokens)
    assert 0 <= price.cost_nanousd(usage) <= most


@given(PRICES, st.lists(usages(), max_size=5))
def test_costs_of_parts_are_never_less_than_that_of_their_sum(price: Price, parts: list[Usage]) -> None:
    total = sum(parts, Usage())
    assert total.cache_write_tokens == sum(part.cache_write_tokens for part in parts)
    apart = sum(price.cost_nanousd(part) for part in parts)
    assert apart - len(parts) <= price.cost_nanousd(total) <= apart
