from moa_server.journal.postgres_store import payloads


def test_runs_share_notifications_that_never_grow_too_long() -> None:
    run_ids = [f"run-{number:036}" for number in range(1000)]
    texts = payloads(run_ids)
    assert " ".join(texts).split() == run_ids
    assert all(len(text) < 8000 for text in texts)
    assert len(texts) < 10


def test_no_runs_are_no_notification() -> None:
    assert payloads([]) == []


def test_an_id_beyond_any_notification_is_left_to_the_look() -> None:
    assert payloads(["a", "x" * 9000, "b"]) == ["a", "b"]
