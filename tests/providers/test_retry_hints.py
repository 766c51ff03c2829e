"""When to try again is read in every form that endpoints use."""

import pytest

from moa_server.providers.retry_hints import delay_in_details_s, retry_after_s, should_retry

NOW = 1_793_000_000.0  # Mon, 26 Oct 2026 07:33:20 GMT


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "x", "retry-after": "2"}, 2.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "Mon, 26 Oct 2026 07:33:50 GMT"}, 30.0),
        ({"retry-after": "Mon, 26 Oct 2026 07:33:50 -0000"}, 30.0),
        ({"retry-after": "Mon, 26 Oct 2026 07:00:00 GMT"}, 0.0),
        ({"retry-after": "tomorrow"}, None),
        ({"x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-reset-tokens": "85.5ms"}, 0.0855),
        ({"x-ratelimit-reset-requests": "1h2m3s", "x-ratelimit-remaining-requests": "0"}, 3723.0),
        ({"x-ratelimit-reset": "7"}, 7.0),
        ({"x-ratelimit-reset": str(int(NOW) + 9)}, 9.0),
        ({"x-ratelimit-reset": str((int(NOW) + 9) * 1000)}, 9.0),
        ({"anthropic-ratelimit-tokens-reset": "2026-10-26T07:33:25Z"}, 5.0),
        ({"x-ratelimit-reset-requests": "later"}, None),
    ],
)
def test_every_form_is_read(headers: dict[str, str], wait: float | None) -> None:
    assert retry_after_s(429, headers, lambda: NOW) == (None if wait is None else pytest.approx(wait))


def test_a_limit_that_is_used_up_comes_before_one_that_is_not() -> None:
    headers = {
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "60s",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "2s",
    }
    assert retry_after_s(429, headers) == 2.0


def test_a_limit_of_which_something_remains_is_no_reason_to_wait() -> None:
    headers = {"x-ratelimit-remaining-requests": "59", "x-ratelimit-reset-requests": "6m0s"}
    assert retry_after_s(429, headers) is None
    assert retry_after_s(429, headers | {"x-ratelimit-reset-tokens": "2s"}) == 2.0


@pytest.mark.parametrize("status", [500, 503, 529])
def test_an_endpoint_that_fails_is_not_waited_for_until_its_limits_reset(status: int) -> None:
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}
    assert retry_after_s(status, headers) is None
    assert retry_after_s(status, headers | {"retry-after": "3"}) == 3.0


RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
HELP = {"@type": "type.googleapis.com/google.rpc.Help", "links": []}


@pytest.mark.parametrize(
    ("details", "wait"),
    [
        (None, None),
        ("34s", None),
        ([], None),
        ([HELP, "34s", None], None),
        ([HELP, {"@type": RETRY_INFO, "retryDelay": "34s"}], 34.0),
        ([{"@type": RETRY_INFO, "retryDelay": "34.074824224s"}], 34.074824224),
        ([{"@type": RETRY_INFO, "retryDelay": "0s"}], 0.0),
        ([{"@type": RETRY_INFO, "retryDelay": "315576000000s"}], 86400.0),
        ([{"@type": RETRY_INFO, "retryDelay": "-5s"}], None),
        ([{"@type": RETRY_INFO, "retryDelay": "9" * 400 + "s"}], None),
        ([{"@type": RETRY_INFO, "retryDelay": "infs"}], None),
        ([{"@type": RETRY_INFO, "retryDelay": {"seconds": 3}}], None),
        ([{"@type": RETRY_INFO}], None),
    ],
)
def test_a_delay_in_the_details_of_an_error_is_read_and_bounded(details: object, wait: float | None) -> None:
    assert delay_in_details_s(details) == wait


def test_whether_to_retry_is_said_in_two_words_only() -> None:
    said = [should_retry({"x-should-retry": word}) for word in ("true", "False", "maybe")]
    assert said == [True, False, None]
    assert should_retry({}) is None
