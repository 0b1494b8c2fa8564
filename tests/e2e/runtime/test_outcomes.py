"""Tests every outcome of the README's table on the built function: record, response of Lambda, and remaining keys.

The name of a test starts with its outcome. The last two tests check that every outcome has a test, and that every test
has an outcome.
"""

import re
from pathlib import Path

import alerts
import harness
import pytest
from alerts import BUCKET, KEY, SIBLING

ROOT = Path(__file__).resolve().parents[3]

DELETE = "DeleteBucketAccessKey"
FOLLOW = "GetOperation"
KEYS = "GetBucketAccessKeys"
BUCKETS = "GetBuckets"

HERE = "us-east-1"
BY_HAND = alerts.by_hand()
KEY_ONLY = alerts.by_hand(bucketName=None, region=None)
BOTH = {(HERE, BUCKET, KEY), (HERE, BUCKET, SIBLING)}
SIBLING_ONLY = {(HERE, BUCKET, SIBLING)}

MEMBER = "111122223333"
UNKNOWN_ACCOUNT = "777788889999"
MEMBER_SETTINGS = {"MEMBER_ROLE_NAME": "responder", "ALLOWED_ACCOUNTS": MEMBER}

# `status_id` and `status` of OCSF 1.8, class Remediation Activity. 99 is "Other", with a caption of the source.
OCSF_STATUS = {
    "revoked": (1, "Success"),
    "already_absent": (3, "Does Not Exist"),
    "not_lightsail_key": (5, "Unsupported"),
    "ignored": (99, "Ignored"),
    "dry_run": (99, "DryRun"),
    "unconfirmed": (4, "Partial"),
    "failed": (2, "Failure"),
    "search_incomplete": (6, "Error"),
    "protected": (99, "Protected"),
    "wrong_account": (5, "Unsupported"),
    "unreadable": (6, "Error"),
}


def documented_error_types():
    """Returns the `errorType` of each outcome in the README, or None for success."""
    row = r"^\| `([a-z_]+)` \| [^|]+ \| [^|]+ \| (?:(success)|`(Responder\.[A-Za-z]+)`) \|$"
    rows = re.findall(row, (ROOT / "README.md").read_text(), re.M)
    return {outcome: error_type or None for outcome, _, error_type in rows}


@pytest.fixture
def photos(lightsail):
    """Returns the simulator with the key and its sibling on bucket `photos`."""
    lightsail.seed(HERE, BUCKET, [KEY, SIBLING])
    return lightsail


def assert_ends(function, event, outcome, *parts):
    """Sends `event`, asserts `outcome` and the `parts` of the message, and returns the record."""
    answer = function.invoke(event)
    (line,) = function.record_lines()
    record = line["audit"]
    message = record["message"]
    assert record["status_code"] == outcome, message
    assert (record["status_id"], record["status"]) == OCSF_STATUS[outcome]
    error_type = documented_error_types()[outcome]
    assert answer.error_type == error_type
    if error_type is None:
        assert answer.records == [record]
        assert line["level"] == "WARN"
    else:
        assert answer.records == [] and answer.error_message == message
        assert line["level"] == "ERROR"
    for part in parts:
        assert part in message
    return record


def requests_of(lightsail, operation):
    return [request for request in lightsail.requests() if request["operation"] == operation]


@pytest.mark.parametrize("event", [BY_HAND, KEY_ONLY], ids=["bucket named", "after a search"])
def test_revoked(event, photos, start):
    record = assert_ends(start(), event, "revoked", f"access key {KEY} of bucket {BUCKET} in {HERE}: Succeeded")
    assert photos.keys() == SIBLING_ONLY
    assert "absent when read back; " in record["message"]
    # The last use is the first question of an operator. The read runs beside the delete, and may come after it.
    evidence = record["unmapped"]["access_key"]["evidence"]
    known = {
        "listed": "never used, as far as AWS knows",
        "already_gone": "its last use is not known: the key was gone before it could be read",
    }
    assert record["message"].endswith(f"; {known[evidence]}")
    assert evidence == "listed" or event is BY_HAND, "a search lists the key before the delete"
    # A key that was not seen on its bucket before needs a complete search.
    assert evidence == "listed" or record["unmapped"]["search"]["regions_read"] == 19


def test_revoked_message_has_last_use(lightsail, start):
    used = {"lastUsedDate": "2026-11-23T22:10:00Z", "region": "eu-west-1", "serviceName": "s3"}
    lightsail.seed(HERE, BUCKET, [{"id": KEY, "lastUsed": used}, SIBLING])
    record = assert_ends(start(), KEY_ONLY, "revoked", "; last used 2026-11-23T22:10:00Z with s3 in eu-west-1")
    assert record["unmapped"]["access_key"]["last_used"]["region"] == "eu-west-1"
    assert lightsail.keys() == SIBLING_ONLY


def test_already_absent(lightsail, start):
    lightsail.seed(HERE, BUCKET, [SIBLING])
    record = assert_ends(
        start(),
        BY_HAND,
        "already_absent",
        f"Nothing to delete: access key {KEY} is not on the bucket that was named, nor on any other",
        f"of account {harness.ACCOUNT} (19 Regions and 1 bucket read)",
    )
    assert record["unmapped"]["search"]["unread"] == []
    assert lightsail.keys() == SIBLING_ONLY


@pytest.mark.parametrize("event", [BY_HAND, KEY_ONLY], ids=["no such bucket", "key only"])
def test_not_lightsail_key(event, lightsail, start):
    lightsail.seed("eu-west-1", "unrelated", [SIBLING])
    assert_ends(
        start(),
        event,
        "not_lightsail_key",
        f"Access key {KEY} is on no Lightsail bucket of account {harness.ACCOUNT} (19 Regions and 1 bucket read)",
        "may be live: look for it in IAM",
    )
    assert lightsail.keys() == {("eu-west-1", "unrelated", SIBLING)}


IGNORED = {
    "sample finding": ("guardduty-sample.json", "sample"),
    "temporary credential": ("manual-temporary-credential.json", "ASIA"),
    "change of a leak that was told": ("github-secret-scanning-assigned.json", "reported before (assigned)"),
}


@pytest.mark.parametrize(("file", "text"), IGNORED.values(), ids=IGNORED)
def test_ignored(file, text, photos, start):
    record = assert_ends(start(), alerts.from_file(file), "ignored", "Nothing to delete: ", text)
    assert record["unmapped"]["reason"] in record["message"]
    assert photos.keys() == BOTH and photos.requests() == []


DRY_RUNS = {
    "by variable": ({"RESPONDER_MODE": "dry_run"}, BY_HAND),
    "by variable, `dryRun` false": ({"RESPONDER_MODE": "dry_run"}, {**BY_HAND, "dryRun": False}),
    "by variable, key only": ({"RESPONDER_MODE": "dry_run"}, KEY_ONLY),
    "by `dryRun`": ({}, {**BY_HAND, "dryRun": True}),
    "by `dryRun`, key only": ({}, {**KEY_ONLY, "dryRun": True}),
    "by `dryRun`, by EventBridge": (
        {},
        alerts.of_our_own(detail={"accessKeyId": KEY, "bucketName": BUCKET, "region": HERE, "dryRun": True}),
    ),
}


@pytest.mark.parametrize(("settings", "event"), DRY_RUNS.values(), ids=DRY_RUNS)
def test_dry_run(settings, event, photos, start):
    record = assert_ends(
        start(**settings),
        event,
        "dry_run",
        f"Dry run: access key {KEY} of bucket {BUCKET} in {HERE} is live and would have been deleted",
    )
    assert record["unmapped"]["mode"] == "dry_run"
    assert record["unmapped"]["access_key"]["evidence"] == "listed"
    assert photos.keys() == BOTH and requests_of(photos, DELETE) == []


NAMED = {"PROTECTED_BUCKETS": f"backups-2019,{BUCKET}"}
BY_NAME = f"bucket {BUCKET} in {HERE} is in PROTECTED_BUCKETS"
BY_TAG = f"bucket {BUCKET} in {HERE} has the tag responder:protect=true"
TAG = {"stage": "prod", "responder:protect": "true"}
# The variables, the bucket's tags, the event, and a part of the message.
PROTECTED = {
    "by variable": (NAMED, {}, BY_HAND, BY_NAME),
    "by variable, finding": (NAMED, {}, alerts.guardduty(), BY_NAME),
    "by variable, after a search": (NAMED, {}, KEY_ONLY, BY_NAME),
    "by variable, dry run": (NAMED, {}, {**BY_HAND, "dryRun": True}, BY_NAME),
    "by tag, after a search": ({}, TAG, KEY_ONLY, BY_TAG),
    "by tag, other bucket named": ({}, TAG, alerts.by_hand(bucketName="archive"), BY_TAG),
    "by tag, dry run": ({}, TAG, {**BY_HAND, "dryRun": True}, BY_TAG),
    "by tag, dry run by variable": ({"RESPONDER_MODE": "dry_run"}, TAG, KEY_ONLY, BY_TAG),
    "too many keys": ({}, {}, alerts.from_file("manual-too-many-keys.json"), "MAX_KEYS_PER_ALERT"),
    "more keys than the variable allows": (
        {"MAX_KEYS_PER_ALERT": "1"},
        {},
        alerts.by_hand(accessKeyId=[KEY, SIBLING]),
        "MAX_KEYS_PER_ALERT",
    ),
}


@pytest.mark.parametrize(("settings", "tags", "event", "text"), PROTECTED.values(), ids=PROTECTED)
def test_protected(settings, tags, event, text, lightsail, start):
    lightsail.seed(HERE, BUCKET, [KEY, SIBLING], tags=tags)
    assert_ends(start(**settings), event, "protected", "Nothing was deleted, and an operator must decide: ", text)
    assert lightsail.keys() == BOTH
    # The function sends a delete only to bucket `archive`, which is not protected and does not exist.
    assert {request["bucket"] for request in requests_of(lightsail, DELETE)} <= {"archive"}


def test_protected_by_tag_of_named_bucket(lightsail, start):
    # The first delete comes before a read of the tags. The role's IAM policy denies it, without a reason.
    lightsail.seed(HERE, BUCKET, [KEY, SIBLING], tags=TAG)
    lightsail.script(DELETE, {"kind": "access_denied"})
    assert_ends(start(), BY_HAND, "protected", "Nothing was deleted, and an operator must decide: ", BY_TAG)
    assert lightsail.keys() == BOTH


# The fault after the accepted delete, the keys that remain listed, and a part of the message.
UNCONFIRMED = {
    "operation never ends": (
        (DELETE, {"kind": "operation_pending", "polls": 10_000}),
        SIBLING_ONLY,
        "Started; the key is no longer listed",
    ),
    "key stays listed": (
        (DELETE, {"kind": "still_listed", "reads": 10_000}),
        BOTH,
        "Succeeded; the key is still listed",
    ),
    "GetOperation denied": (
        (FOLLOW, {"kind": "access_denied"}),
        SIBLING_ONLY,
        "Started; the key is no longer listed; GetOperation: AccessDeniedException",
    ),
    "GetBucketAccessKeys denied": (
        (KEYS, {"kind": "access_denied"}),
        SIBLING_ONLY,
        "Succeeded; the keys could not be read; GetBucketAccessKeys: AccessDeniedException",
    ),
}


@pytest.mark.parametrize(("script", "remaining", "text"), UNCONFIRMED.values(), ids=UNCONFIRMED)
def test_unconfirmed(script, remaining, text, photos, start):
    photos.script(*script)
    function = start(AWS_LAMBDA_FUNCTION_TIMEOUT="5", VERIFY_FOR="0.3")
    accepted = f"Access key {KEY} of bucket {BUCKET} in {HERE}: the delete was accepted, "
    accepted += "but the key is not confirmed gone: "
    record = assert_ends(function, BY_HAND, "unconfirmed", accepted, text)
    assert record["unmapped"]["timing_ms"]["delete_accepted"] is not None
    # A read without the key sets `verified`, but is no proof without the end of the operation.
    assert (record["unmapped"]["timing_ms"]["verified"] is not None) == ("no longer listed" in text)
    assert photos.keys() == remaining


LIVE = f"Access key {KEY} of bucket {BUCKET} in {HERE} must be taken as live: "
# The faults, the remaining keys, and parts of the message.
FAILED = {
    "delete denied": (
        [(DELETE, {"kind": "access_denied"})],
        BOTH,
        [LIVE, "AccessDeniedException", "; it is still listed"],
    ),
    "every connection of the delete reset": (
        [(DELETE, {"kind": "reset_before"}), (KEYS, {"kind": "access_denied"})],
        BOTH,
        [LIVE, "connection lost", "(5 attempts)", "; the delete may have taken effect"],
    ),
    "operation fails": (
        [(DELETE, {"kind": "operation_failed", "key_stays": True})],
        BOTH,
        [LIVE, "; it is still listed"],
    ),
}


@pytest.mark.parametrize(("scripts", "remaining", "parts"), FAILED.values(), ids=FAILED)
def test_failed(scripts, remaining, parts, photos, start):
    for script in scripts:
        photos.script(*script)
    record = assert_ends(start(AWS_LAMBDA_FUNCTION_TIMEOUT="30"), BY_HAND, "failed", *parts)
    assert record["unmapped"]["failure"]["operation"] == DELETE
    assert photos.keys() == remaining


def test_failed_if_role_of_owner_account_denied(lightsail, start):
    lightsail.seed(HERE, BUCKET, [KEY, SIBLING], account=MEMBER)
    record = assert_ends(
        start(**MEMBER_SETTINGS),
        alerts.by_hand(accountId=MEMBER),
        "failed",
        f"Access key {KEY} must be taken as live: AssumeRole: AccessDenied",
        "; nothing was deleted",
    )
    assert record["unmapped"]["failure"]["may_have_taken_effect"] is False
    assert lightsail.keys(MEMBER) == BOTH
    assert lightsail.operations_seen() == ["AssumeRole"]


MAY_BE_LIVE = f"Access key {KEY} may be live: it was not found, but not everything could be read: "


@pytest.mark.parametrize("event", [KEY_ONLY, alerts.by_hand(region=None)], ids=["key only", "not on the named bucket"])
def test_search_incomplete_unread_region(event, lightsail, start):
    lightsail.seed(HERE, BUCKET, [SIBLING])
    lightsail.seed("eu-west-3", "backups-2019", [KEY])
    lightsail.script(BUCKETS, {"kind": "access_denied"}, region="eu-west-3")
    text = MAY_BE_LIVE + "eu-west-3 (GetBuckets: AccessDeniedException"
    record = assert_ends(start(), event, "search_incomplete", text)
    (unread,) = record["unmapped"]["search"]["unread"]
    assert unread["places"] == [{"account": harness.ACCOUNT, "region": "eu-west-3", "bucket": None}]
    assert record["unmapped"]["search"]["regions_read"] == 18
    assert lightsail.keys() == {*SIBLING_ONLY, ("eu-west-3", "backups-2019", KEY)}


def test_search_incomplete_unread_bucket(lightsail, start):
    lightsail.seed("eu-west-3", "backups-2019", [KEY])
    lightsail.script(KEYS, {"kind": "access_denied"}, region="eu-west-3")
    text = MAY_BE_LIVE + "bucket backups-2019 in eu-west-3 (GetBucketAccessKeys: AccessDeniedException"
    record = assert_ends(start(), KEY_ONLY, "search_incomplete", text)
    (unread,) = record["unmapped"]["search"]["unread"]
    assert unread["places"] == [{"account": harness.ACCOUNT, "region": "eu-west-3", "bucket": "backups-2019"}]
    assert lightsail.keys() == {("eu-west-3", "backups-2019", KEY)}


def test_search_incomplete_unread_account(lightsail, start):
    # The member account is allowed, but its role does not exist.
    lightsail.seed(HERE, BUCKET, [KEY, SIBLING], account=MEMBER)
    function = start(**MEMBER_SETTINGS)
    text = MAY_BE_LIVE + f"account {MEMBER} (AssumeRole: AccessDenied"
    record = assert_ends(function, KEY_ONLY, "search_incomplete", text)
    (unread,) = record["unmapped"]["search"]["unread"]
    assert unread["places"] == [{"account": MEMBER, "region": None, "bucket": None}]
    assert record["unmapped"]["search"]["accounts_read"] == 1
    assert lightsail.keys(MEMBER) == BOTH


WRONG_ACCOUNTS = {
    "no member account configured": (
        {},
        alerts.by_hand(accountId=MEMBER),
        f"the alert is about account {MEMBER}, and this function may act in {harness.ACCOUNT} only",
    ),
    "other member account configured": (
        MEMBER_SETTINGS,
        alerts.by_hand(accountId=UNKNOWN_ACCOUNT),
        f"the alert is about account {UNKNOWN_ACCOUNT}, which is not in ALLOWED_ACCOUNTS",
    ),
    "dry run": (
        {"RESPONDER_MODE": "dry_run"},
        alerts.by_hand(accountId=MEMBER),
        f"the alert is about account {MEMBER}, and this function may act in {harness.ACCOUNT} only",
    ),
}


@pytest.mark.parametrize(("settings", "event", "text"), WRONG_ACCOUNTS.values(), ids=WRONG_ACCOUNTS)
def test_wrong_account(settings, event, text, photos, start):
    for account in (MEMBER, UNKNOWN_ACCOUNT):
        photos.role(account, "responder")
        photos.seed(HERE, f"photos-{account}", [KEY, SIBLING], account=account)
    before = photos.keys()
    record = assert_ends(start(**settings), event, "wrong_account", f"Access key {KEY} was not looked for: ", text)
    assert record["unmapped"]["access_key"]["owner_account"] in (MEMBER, UNKNOWN_ACCOUNT)
    assert photos.keys() == before and photos.requests() == []


UNREADABLE = {
    "not JSON": (b"not JSON", "JSON"),
    "malformed key": (alerts.by_hand(accessKeyId="AKIA123"), "accessKeyId"),
    "no key": (alerts.by_hand(accessKeyId=None), "accepted: "),
    "unknown field": (
        {**BY_HAND, "onlyIfUnused": True},
        'unknown field "onlyIfUnused"; accepted: accessKeyId, bucketName, region, accountId, reason, dryRun',
    ),
    "`dryRun` not boolean": ({**BY_HAND, "dryRun": "true"}, "dryRun is a string, not a boolean"),
    "malformed account": (alerts.by_hand(accountId="1234-5678-9012"), "accountId"),
    "unknown event": (alerts.from_file("unknown-event.json"), "no reader for detail-type"),
    "source without the key": (
        alerts.from_file("gitguardian.json"),
        "look up the access key ID there, and send a manual event with it",
    ),
}


@pytest.mark.parametrize(("event", "text"), UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable(event, text, photos, start):
    assert_ends(start(), event, "unreadable", "No access key could be read, so nothing was deleted: ", text)
    assert photos.keys() == BOTH and photos.requests() == []


def outcomes_in_the_code():
    """Returns the names in `Outcome::code`, in its order."""
    code = (ROOT / "src/outcome.rs").read_text()
    (arms,) = re.findall(r"pub fn code\(self\) -> &'static str \{\n(.*?)\n    \}\n", code, re.S)
    return re.findall(r'^ +Self::[A-Za-z]+ => "([a-z_]+)",$', arms, re.M)


def test_each_outcome_has_test():
    codes = outcomes_in_the_code()
    assert len(set(codes)) == len(codes) > 0
    tests = [name.removeprefix("test_") for name in globals() if name.startswith("test_")]
    tests = [name for name in tests if not name.startswith(("each_outcome", "readme"))]
    by_outcome = {code: [name for name in tests if re.fullmatch(rf"{code}(_[a-z_]+)?", name)] for code in codes}
    assert [code for code in codes if not by_outcome[code]] == [], "an outcome without a test"
    assert sorted(name for names in by_outcome.values() for name in names) == sorted(tests), "a test of no outcome"


def test_readme_and_ocsf_have_each_outcome():
    codes = outcomes_in_the_code()
    assert sorted(documented_error_types()) == sorted(codes)
    assert sorted(OCSF_STATUS) == sorted(codes)
