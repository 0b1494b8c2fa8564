"""Keys of member accounts, with the session that STS gives for the role there. tests/responder/members.rs has more."""

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


def test_member_key_is_deleted_with_member_role(lightsail, start):
    lightsail.seed(HERE, OURS, [SIBLING])
    own = lightsail.keys(harness.ACCOUNT)
    function = start(**SETTINGS)
    answer = function.invoke(FINDING)

    assert answer.error_type is None and outcomes(function) == ["revoked"]
    record = function.records()[0]
    assert record["cloud"]["account"]["uid"] == MEMBER
    assert record["unmapped"]["access_key"]["possible_owners"] == [MEMBER]
    assert lightsail.keys(MEMBER) == {(HERE, BUCKET, SIBLING)}
    assert lightsail.keys(harness.ACCOUNT) == own

    # The delete waits for nothing but the role.
    first, second, *rest = lightsail.requests()
    assert (first["operation"], second["operation"]) == (ASSUME, DELETE)
    assert first["role_arn"] == f"arn:aws:iam::{MEMBER}:role/{ROLE}"
    assert first["external_id"] == EXTERNAL_ID
    assert first["role_session_name"] == f"lightsail-key-{FINDING['detail']['id']}"
    assert {request["account"] for request in (second, *rest)} <= {MEMBER, harness.ACCOUNT, OTHER_MEMBER, ""}


# Listed among the allowed accounts, and still not a member account.
OWN_LISTED = {**SETTINGS, "ALLOWED_ACCOUNTS": f"{SETTINGS['ALLOWED_ACCOUNTS']},{harness.ACCOUNT}"}


@pytest.mark.parametrize(
    "event",
    [alerts.by_hand(accountId=harness.ACCOUNT, bucketName=OURS), alerts.by_hand(accountId=harness.ACCOUNT, bucketName=None)],
    ids=["bucket named", "after a search"],
)
def test_own_account_never_calls_sts(event, lightsail, start):
    # A role of that name would be there to assume.
    lightsail.role(harness.ACCOUNT, ROLE, externalId=EXTERNAL_ID)
    lightsail.seed(HERE, OURS, [KEY, SIBLING])
    function = start(**OWN_LISTED)
    assert [function.invoke(event).error_type for _ in range(2)] == [None, None]
    assert outcomes(function)[0] == "revoked"
    assert lightsail.keys(harness.ACCOUNT) == {(HERE, OURS, SIBLING)}
    assert lightsail.keys(MEMBER) == {(HERE, BUCKET, KEY), (HERE, BUCKET, SIBLING)}
    assert assumed(lightsail) == []


def test_key_without_account_is_found_in_member(lightsail, start):
    lightsail.role(harness.ACCOUNT, ROLE, externalId=EXTERNAL_ID)
    function = start(**OWN_LISTED)
    assert function.invoke(KEY_ONLY).error_type is None
    record = function.records()[0]
    assert (record["status_code"], record["cloud"]["account"]["uid"]) == ("revoked", MEMBER)
    assert lightsail.keys(MEMBER) == {(HERE, BUCKET, SIBLING)}
    allowed = {f"arn:aws:iam::{account}:role/{ROLE}" for account in (MEMBER, OTHER_MEMBER)}
    assert {request["role_arn"] for request in assumed(lightsail)} <= allowed
