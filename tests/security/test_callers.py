import pytest

from moa_server.domain.errors import PermissionDenied, Unauthenticated
from moa_server.domain.operation import KnownCaller
from moa_server.security import ANONYMOUS, Caller, Callers, Evidence


class Kept:
    """A secret that changes, or is gone."""

    def __init__(self, value: str | None) -> None:
        self.value = value

    def reveal(self) -> str:
        if self.value is None:
            raise ValueError("gone")
        return self.value


BILLING = Caller("billing", frozenset({"council"}))
SEARCH = Caller("search")


def callers(billing: str | None = "b-token", search: str | None = "s-token") -> Callers:
    return Callers([KnownCaller("billing", Kept(billing), ("council",)), KnownCaller("search", Kept(search))])


def test_everyone_is_anonymous_where_no_callers_are_named() -> None:
    assert Callers().identify(Evidence()) == ANONYMOUS
    assert Callers().identify(Evidence("Bearer whatever")) == ANONYMOUS


def test_a_certificate_names_its_caller_where_no_callers_are_named() -> None:
    assert Callers().identify(Evidence(None, ("spiffe://moa/search", "search"))).name == "spiffe://moa/search"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_token_tells_its_caller(scheme: str) -> None:
    assert callers().identify(Evidence(f"{scheme} s-token")) == SEARCH


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Bearer wrong", "Basic s-token", "s-token", "Bearer s-token2", "Bearer " + "x" * 100_000,
     "Bearer \ud800"],
)  # fmt: skip
def test_anything_but_a_known_token_is_refused(authorization: str) -> None:
    with pytest.raises(Unauthenticated):
        callers().identify(Evidence(authorization))


def test_no_evidence_at_all_is_refused() -> None:
    with pytest.raises(Unauthenticated):
        callers().identify(Evidence())


def test_a_new_token_counts_at_once_and_the_old_one_no_longer() -> None:
    secret = Kept("old")
    known = Callers([KnownCaller("search", secret)])
    assert known.identify(Evidence("Bearer old")) == SEARCH
    secret.value = "new"
    assert known.identify(Evidence("Bearer new")) == SEARCH
    with pytest.raises(Unauthenticated):
        known.identify(Evidence("Bearer old"))


@pytest.mark.parametrize("gone", [None, ""])
def test_a_token_that_cannot_be_read_opens_nothing_and_harms_no_other(gone: str | None) -> None:
    known = callers(billing=gone)
    assert known.identify(Evidence("Bearer s-token")) == SEARCH
    with pytest.raises(Unauthenticated):
        known.identify(Evidence("Bearer None"))


def test_a_certificate_with_a_known_name_needs_no_token() -> None:
    assert callers().identify(Evidence(None, ("dns.example", "billing"))) == BILLING


def test_a_wrong_token_is_not_saved_by_a_certificate() -> None:
    with pytest.raises(Unauthenticated):
        callers().identify(Evidence("Bearer wrong", ("billing",)))


def test_a_refusal_does_not_repeat_the_token() -> None:
    with pytest.raises(Unauthenticated) as refused:
        callers().identify(Evidence("Bearer guess-42"))
    assert "guess-42" not in str(refused.value)


def test_a_caller_uses_only_its_mixtures() -> None:
    BILLING.check_mixture("council")
    SEARCH.check_mixture("anything")
    with pytest.raises(PermissionDenied) as refused:
        BILLING.check_mixture("secret" + "x" * 1000)
    assert len(refused.value.metadata["mixture"]) < 100
