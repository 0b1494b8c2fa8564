"""Every event of events/ gives the outcome that events/README.md promises for it."""

import cases
import ocsf
import pytest
import run

READS = {"GetBuckets", "GetBucketAccessKeys", "GetOperation", "GetRegions"}
DELETE = "DeleteBucketAccessKey"
OK = {"revoked", "already_absent", "not_lightsail_key", "ignored", "dry_run"}
NEEDS_NO_CALL = {"ignored", "unreadable", "protected"}
TABLE = cases.table()


def test_every_event_file_has_its_row_and_every_row_its_file():
    files = sorted(path.name for path in cases.EVENTS.glob("*.json"))
    assert sorted(case.file for case in TABLE) == files


def test_every_row_of_the_table_is_read():
    rows = (cases.EVENTS / "README.md").read_text().count("\n| `")
    assert len(TABLE) == rows > 0
    assert {case.holds for case in TABLE} <= set(cases.WORLDS)


def test_a_world_that_the_table_makes_up_is_refused():
    with pytest.raises(ValueError, match="accepted: the key on its bucket, "):
        cases.world("the key somewhere", {})


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.file)
def test_an_event_has_the_outcome_of_its_row(case, bootstrap, simulator_program):
    payload, event = run.read_event(case.path)
    result = run.let_loose(bootstrap, simulator_program, payload, cases.world(case.holds, event))

    assert sorted(result.outcomes) == sorted(case.outcomes)
    assert [fault for record in result.records for fault in ocsf.faults(record)] == []
    errors = [record for record in result.records if record["status_code"] not in OK]
    if result.answer.batch_failures is not None:
        assert "Records" in event
        assert result.answer.batch_failures == [record["unmapped"]["invocation"]["message_id"] for record in errors]
    elif errors:
        assert result.answer.error_type == f"Responder.{errors[0]['status_code'].title().replace('_', '')}"
        assert result.answer.error_message == "\n".join(record["message"] for record in errors)
    else:
        assert result.answer.error_type is None
        by_key = lambda record: record["message"]  # noqa: E731
        assert sorted(result.answer.records, key=by_key) == sorted(result.records, key=by_key)

    # A key is gone only where a record says so, and nothing else is gone ever.
    named = cases.read(event)
    gone = {key for _, _, key in result.before - result.after}
    assert gone == (set(named.keys) if "revoked" in case.outcomes else set())
    assert result.after <= result.before and not result.bystanders_lost

    seen = {request["operation"] for request in result.requests}
    if set(case.outcomes) <= NEEDS_NO_CALL:
        assert seen == set()
    elif "wrong_account" in case.outcomes:
        # The account of a finding may not be the owner's, so the function looks in its own. By hand it is the owner.
        assert seen == set() if case.file.startswith("manual") else DELETE in seen
    elif "revoked" in case.outcomes or (named.has_bucket and "dry_run" not in case.outcomes):
        # On a bucket that is named the delete is how the function asks: where it finds no key, it does nothing.
        assert DELETE in seen and seen <= READS | {DELETE}
    else:
        assert seen and seen <= READS
