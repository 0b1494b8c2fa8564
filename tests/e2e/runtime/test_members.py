"""Another account's key: by the role there, which is assumed once a process, and never for the own account."""

import alerts
import harness
import pytest
from alerts import BUCKET, KEY, SIBLING

ASSUME = "AssumeRole"
DELETE = "DeleteBucketAccessKey"

# The one of events/guardduty-other-account.json.
MEMBER = "111122223333"
OTHER_MEMBER = "444455556666"
ROLE = "lightsail-key-responder"
EXTERNAL_ID = "agreed:1/2"
SETTINGS = {"MEMBER_ROLE_NAME": ROLE, "MEMBER_EXTERNAL_ID": EXTERNAL_ID, "ALLOWED_ACCOUNTS": f"{MEMBER},{OTHER_MEMBER}"}

HERE = "us-east-1"
OURS = "photos-of-our-own"
FINDING = alerts.from_file("guardduty-other-account.json")
KEY_ONLY = alerts.by_hand(bucketName=None, region=None)


@pytest.fixture
def lightsail(lightsail):
    """The simulator with the role in both accounts, and in one of them the key and its sibling on their bucket."""
    for account in (MEMBER, OTHER_MEMBER):
        lightsail.role(account, ROLE, externalId=EXTERNAL_ID)
    lightsail.seed(HERE, BUCKET, [KEY, SIBLING], account=MEMBER)
    return lightsail


def assumed(lightsail):
    return [request for request in lightsail.requests() if request["operation"] == ASSUME]


def outcomes(function):
    return [record["status_code"] for record in function.records()]


def test_a_members_key_is_deleted_there_with_a_session_that_is_named_for_the_alert(lightsail, start):
    lightsail.seed(HERE, OURS, [KEY, SIBLING])
    own = lightsail.keys(harness.ACCOUNT)
    function = start(**SETTINGS)
    answer = function.invoke(FINDING)

    assert answer.error_type is None and outcomes(function) == ["revoked"]
    record = function.records()[0]
    assert record["cloud"]["account"]["uid"] == record["unmapped"]["access_key"]["owner_account"] == MEMBER
    assert lightsail.keys(MEMBER) == {(HERE, BUCKET, SIBLING)}
    assert lightsail.keys(harness.ACCOUNT) == own

    # The delete waits for nothing but the role.
    first, second, *rest = lightsail.requests()
    assert (first["operation"], second["operation"]) == (ASSUME, DELETE)
    assert first["role_arn"] == f"arn:aws:iam::{MEMBER}:role/{ROLE}"
    assert first["external_id"] == EXTERNAL_ID
    assert first["role_session_name"] == f"lightsail-key-{FINDING['detail']['id']}"
    assert {request["account"] for request in (second, *rest)} == {MEMBER}


def test_the_second_invocation_of_a_process_assumes_no_second_role(lightsail, start):
    function = start(**SETTINGS)
    assert [function.invoke(FINDING).error_type for _ in range(3)] == [None, None, None]
    assert outcomes(function) == ["revoked", "already_absent", "already_absent"]
    assert len(assumed(lightsail)) == 1


def test_keys_of_one_alert_share_a_session(lightsail, start):
    function = start(**SETTINGS)
    assert function.invoke(alerts.by_hand(accessKeyId=[KEY, SIBLING], accountId=MEMBER)).error_type is None
    assert outcomes(function) == ["revoked", "revoked"]
    assert lightsail.keys(MEMBER) == set()
    assert len(assumed(lightsail)) == 1


def test_a_session_that_was_taken_back_is_replaced_at_the_next_invocation(lightsail, start):
    lightsail.script(DELETE, {"kind": "error", "code": "ExpiredTokenException"}, count=1)
    function = start(**SETTINGS)
    assert [function.invoke(FINDING).error_type for _ in range(2)] == ["Responder.Failed", None]
    assert outcomes(function) == ["failed", "revoked"]
    assert len(assumed(lightsail)) == 2


def test_a_session_that_would_end_during_the_work_is_not_used_again(lightsail, start):
    lightsail.role(MEMBER, ROLE, externalId=EXTERNAL_ID, lastsSeconds=30)
    function = start(AWS_LAMBDA_FUNCTION_TIMEOUT="60", **SETTINGS)
    assert [function.invoke(FINDING).error_type for _ in range(2)] == [None, None]
    assert outcomes(function) == ["revoked", "already_absent"]
    assert len(assumed(lightsail)) == 2


@pytest.mark.parametrize(
    "event",
    [alerts.by_hand(accountId=harness.ACCOUNT, bucketName=OURS), alerts.guardduty()],
    ids=["bucket named", "after a search"],
)
@pytest.mark.parametrize("also", ["", f",{harness.ACCOUNT}"], ids=["not listed", "listed among the allowed"])
def test_sts_is_not_called_for_the_functions_own_account(also, event, lightsail, start):
    # A role of that name would be there to assume.
    lightsail.role(harness.ACCOUNT, ROLE, externalId=EXTERNAL_ID)
    lightsail.seed(HERE, OURS, [KEY, SIBLING])
    function = start(**{**SETTINGS, "ALLOWED_ACCOUNTS": SETTINGS["ALLOWED_ACCOUNTS"] + also})
    assert [function.invoke(event).error_type for _ in range(2)] == [None, None]
    assert outcomes(function)[0] == "revoked"
    assert lightsail.keys(harness.ACCOUNT) == {(HERE, OURS, SIBLING)}
    assert lightsail.keys(MEMBER) == {(HERE, BUCKET, KEY), (HERE, BUCKET, SIBLING)}
    assert assumed(lightsail) == []


@pytest.mark.parametrize("also", ["", f",{harness.ACCOUNT}"], ids=["not listed", "listed among the allowed"])
def test_a_key_of_unknown_owner_is_found_in_any_allowed_account(also, lightsail, start):
    lightsail.role(harness.ACCOUNT, ROLE, externalId=EXTERNAL_ID)
    function = start(**{**SETTINGS, "ALLOWED_ACCOUNTS": SETTINGS["ALLOWED_ACCOUNTS"] + also})
    assert function.invoke(KEY_ONLY).error_type is None
    record = function.records()[0]
    assert (record["status_code"], record["cloud"]["account"]["uid"]) == ("revoked", MEMBER)
    assert lightsail.keys(MEMBER) == {(HERE, BUCKET, SIBLING)}
    allowed = {f"arn:aws:iam::{account}:role/{ROLE}" for account in (MEMBER, OTHER_MEMBER)}
    assert {request["role_arn"] for request in assumed(lightsail)} <= allowed


def test_nowhere_is_said_of_all_accounts(lightsail, start):
    lightsail.seed(HERE, BUCKET, [SIBLING], account=MEMBER)
    function = start(**SETTINGS)
    assert function.invoke(KEY_ONLY).error_type is None
    record = function.records()[0]
    assert record["status_code"] == "not_lightsail_key"
    assert record["unmapped"]["search"]["accounts_read"] == 3
    assert "of 3 accounts (57 Regions and 1 bucket read)" in record["message"]
    assert len(assumed(lightsail)) == 2
