"""No secret in anything that the function says, at any log level: not one in the event, and not its own."""

import copy
import http.client
import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import alerts
import cases
import harness
import pytest
from alerts import BUCKET, KEY, SIBLING

# A secret access key of the form that AWS gives. Its parts are looked for, so that no half of it gets out either.
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SECRET_PARTS = SECRET.split("/")
OWN_PARTS = ["oWnS3cr3tOfTheFunct1on", "NeverShow", "Me7XyZQ", "oWnSess10nToken"]
TEXT = f"leaked: {KEY}:{SECRET}, see the ticket"

PLANTED = {
    "reason": alerts.by_hand(reason=SECRET),
    "reason, within text": alerts.by_hand(reason=TEXT),
    "reason, many times over": alerts.by_hand(reason="x " * 5 + f"{SECRET} " * 40),
    "reason, as the end of a path": alerts.by_hand(reason=f"found at https://example.com/dump/{SECRET}"),
    "reason, before a slash": alerts.by_hand(reason=f"{SECRET}/"),
    "reason, next to the key": alerts.by_hand(reason=f"{KEY}{SECRET}"),
    "reason, as in a URL": alerts.by_hand(reason=f"?secret={SECRET.replace('/', '%2F')}"),
    "reason, of another type": alerts.by_hand(reason=[SECRET]),
    "accessKeyId": alerts.by_hand(accessKeyId=SECRET),
    "accessKeyId, after the key": alerts.by_hand(accessKeyId=f"{KEY}:{SECRET}"),
    "accessKeyId, of another type": alerts.by_hand(accessKeyId={SECRET: SECRET}),
    "bucketName": alerts.by_hand(bucketName=SECRET),
    "region": alerts.by_hand(region=SECRET),
    "value of an unknown field": alerts.by_hand(secretAccessKey=SECRET),
    "name of an unknown field": alerts.by_hand(**{SECRET: 1}),
    "title of a finding": alerts.guardduty({"title": TEXT, "description": SECRET}),
    "id of a finding": alerts.guardduty({"id": SECRET}),
    "type of a finding": alerts.guardduty({"type": f"Policy:{SECRET}"}),
    "account of a finding": alerts.guardduty({"accountId": SECRET}),
    "key of a finding": alerts.guardduty({"resource": {"accessKeyDetails": {"accessKeyId": SECRET}}}),
    "resource type of a finding": alerts.guardduty({"resource": {"resourceType": SECRET}}),
    "bucket of a finding": alerts.guardduty(
        {"resource": {"accessKeyDetails": {"accessKeyId": KEY}, "s3BucketDetails": [{"name": SECRET}]}}
    ),
    "id of an event": alerts.guardduty(id=SECRET, time=SECRET, account=SECRET, region=SECRET, resources=[SECRET]),
    "type of an event": {**alerts.of_our_own(), "detail-type": SECRET},
    "source of an event": alerts.of_our_own(source=SECRET),
    "detail of an event": alerts.of_our_own(detail=SECRET),
    "not JSON": TEXT.encode(),
    "JSON text": json.dumps(SECRET).encode(),
    "JSON that is cut short": json.dumps(alerts.by_hand(reason=SECRET))[:-2].encode(),
}


# TRACE has the lines of all other levels. Two tests below run at each level.
@pytest.mark.parametrize("event", PLANTED.values(), ids=PLANTED)
def test_secret_in_event_is_not_logged(event, lightsail, start):
    assert_says_nothing_of(SECRET_PARTS, event, lightsail, start)


@pytest.mark.parametrize("fault", ["latency", "access_denied", "reset_before", "not_json", "http_status"])
def test_own_credentials_are_not_logged(fault, lightsail, start):
    members = {"latency": {"ms": 1}, "http_status": {"status": 502}}.get(fault, {})
    for operation in ("DeleteBucketAccessKey", "GetBucketAccessKeys"):
        lightsail.script(operation, {"kind": fault, **members}, count=1)
    assert_says_nothing_of(OWN_PARTS, alerts.by_hand(), lightsail, start)
    assert any(request.get("fault") == fault for request in lightsail.requests())


def test_secret_in_response_of_aws_is_not_logged(lightsail, start):
    message = f"The request signature does not match: {SECRET}; token {harness.OWN_SESSION_TOKEN}"
    fault = {"kind": "error", "code": "InvalidSignatureException", "message": message}
    lightsail.script("DeleteBucketAccessKey", fault)
    lightsail.script("GetBucketAccessKeys", fault)
    assert_says_nothing_of(SECRET_PARTS + OWN_PARTS, alerts.by_hand(), lightsail, start)


LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"]
MEMBER = "111122223333"
MEMBERS = {"MEMBER_ROLE_NAME": "responder", "ALLOWED_ACCOUNTS": MEMBER}
OF_A_MEMBER = alerts.by_hand(accountId=MEMBER)


@contextmanager
def recorder(address: tuple[str, int]) -> Iterator[tuple[str, list[str]]]:
    """A door to the simulator that keeps what comes back through it: nothing else tells the secret of a session, which
    STS makes up. Yields endpoint and answers. Requests pass as they came: their headers are signed, Host too."""
    answers: list[str] = []

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with closing(http.client.HTTPConnection(*address, timeout=30)) as behind:
                behind.putrequest("POST", self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    behind.putheader(name, value)
                behind.endheaders(body)
                answer = behind.getresponse()
                content = answer.read()
            answers.append(content.decode())
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "content-length", "transfer-encoding"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        server.daemon_threads = True
        # A shutdown waits for the poll interval, which is half a second by default.
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield "http://127.0.0.1:{}".format(*server.server_address[1:]), answers
        finally:
            server.shutdown()
            thread.join()


def secrets_in(answers):
    """The secrets and tokens in what STS answered, in half an answer as far as they go."""
    return [found for text in answers for found in re.findall(r"<(?:SecretAccessKey|SessionToken)>([^<]+)", text)]


def parts_of(secret):
    """Its stretches without punctuation, as of SECRET: whatever cuts or escapes a text leaves one of them whole."""
    parts = re.findall(r"[A-Za-z0-9]{7,}", secret)
    assert parts, secret
    return parts


# What befalls Lightsail with the session, at the first invocation or the second.
SESSION_TROUBLE = {
    "nothing": [],
    "the delete is denied": [("DeleteBucketAccessKey", {"kind": "access_denied"}, {"count": 1})],
    "the session is refused": [
        ("DeleteBucketAccessKey", {"kind": "error", "code": "ExpiredTokenException"}, {"count": 1}),
    ],
    "the connection is lost": [("DeleteBucketAccessKey", {"kind": "reset_before"}, {"count": 1})],
    "an answer is not JSON": [("GetBucketAccessKeys", {"kind": "not_json"}, {})],
    "the operation is not told": [("GetOperation", {"kind": "http_status", "status": 502}, {"count": 1})],
    "STS is throttled at first": [("AssumeRole", {"kind": "throttled"}, {"count": 1})],
    "STS gives half an answer at first": [("AssumeRole", {"kind": "truncated"}, {"count": 1})],
}


@pytest.mark.parametrize("level", LEVELS)
def test_session_is_not_logged_at_any_level(level, lightsail, start):
    assert_sessions_stay_secret([], level, lightsail, start)


@pytest.mark.parametrize("trouble", SESSION_TROUBLE.values(), ids=SESSION_TROUBLE)
def test_session_is_not_logged_under_faults(trouble, lightsail, start):
    assert_sessions_stay_secret(trouble, "TRACE", lightsail, start)


def test_session_in_response_of_aws_is_not_logged(lightsail, start):
    def repeat(secrets):
        message = f"Not signed with: {' and '.join(secrets)}"
        fault = {"kind": "error", "code": "InvalidSignatureException", "message": message}
        for operation in ("DeleteBucketAccessKey", "GetBucketAccessKeys", "GetBuckets"):
            lightsail.script(operation, fault)

    assert_sessions_stay_secret([], "TRACE", lightsail, start, between=repeat)
    assert any(request.get("fault") for request in lightsail.requests())


def assert_sessions_stay_secret(trouble, level, lightsail, start, between=lambda secrets: None):
    """Invokes one process twice for another account's key, and looks for what STS answered in all that it says."""
    lightsail.role(MEMBER, "responder")
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING], account=MEMBER)
    for operation, fault, which in trouble:
        lightsail.script(operation, fault, **which)
    with recorder(lightsail.address) as (endpoint, answers):
        function = start(AWS_LAMBDA_LOG_LEVEL=level, AWS_ENDPOINT_URL_STS=endpoint, VERIFY_FOR="0", **MEMBERS)
        said = function.invoke(OF_A_MEMBER).text
        between(secrets_in(answers))
        said += function.invoke(OF_A_MEMBER).text
    said += function.log()

    assert {fault["kind"] for _, fault, _ in trouble} <= {request.get("fault") for request in lightsail.requests()}
    # What was recorded is what was used: Lightsail saw the session, and no other way leads to that account.
    assert len(function.records()) == 2
    assert MEMBER in {request["account"] for request in lightsail.requests() if request["operation"] != "AssumeRole"}
    secrets = secrets_in(answers)
    assert len(secrets) >= 2 and {len(secret) for secret in secrets} >= {40, 356}
    assert [part for secret in secrets for part in parts_of(secret) if part in said] == []
    assert [part for part in OWN_PARTS if part in said] == []


# SQS makes it, and must be told the same again.
MESSAGE_ID = "messageId"
FORMATS = sorted(cases.EVENTS.glob("*.json"))


def test_secret_in_any_field_is_not_logged(lightsail, start):
    planted = [event for file in FORMATS for event in with_one_secret(json.loads(file.read_text()))]
    assert len(planted) > 10 * len(FORMATS)
    # A dry run leaves the key where it is, and a search reads one Region: a thousand events then need few requests.
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    assert_all_silent(planted, "TRACE", start, RESPONDER_MODE="dry_run", SEARCH_REGIONS="us-east-1")


@pytest.mark.parametrize("level", LEVELS)
def test_secrets_in_all_fields_are_not_logged(level, lightsail, start):
    assert_all_silent([with_secrets_only(json.loads(file.read_text())) for file in FORMATS], level, start)


def assert_all_silent(events, level, start, **settings):
    """One process for all, as in Lambda; each event leaves a record, and nothing that is said has a part of the secret."""
    function = start(AWS_LAMBDA_LOG_LEVEL=level, **settings)
    for event in events:
        answer = function.invoke(event)
        assert [part for part in SECRET_PARTS if part in answer.text] == [], event
    left = {record["unmapped"]["invocation"]["request_id"] for record in function.records()}
    assert len(left) == len(events)
    assert [part for part in SECRET_PARTS if part in function.log()] == []


def with_one_secret(event):
    """The event with the secret in the place of each text, and as name and value of one more member of each object."""
    for path in paths(event):
        if path[-1:] == (MESSAGE_ID,):
            continue
        changed = copy.deepcopy(event)
        *parents, last = [None, *path]
        place = changed
        for step in parents[1:]:
            place = place[step]
        found = changed if last is None else place[last]
        if isinstance(found, dict):
            found[SECRET] = TEXT
        elif last is None:
            changed = TEXT
        else:
            place[last] = TEXT
        yield changed


def paths(value, path=()):
    """The ways to all objects and texts of a JSON value, those in JSON text not included."""
    if isinstance(value, (dict, str)):
        yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, child in children:
        yield from paths(child, (*path, step))


def with_secrets_only(value):
    """The event with the secret in the place of every text but those that tell what it is."""
    if isinstance(value, dict):
        tells = (MESSAGE_ID, "detail-type", "source", "eventSource", "EventSource", "Type", "service", "DetectorName", "check-name")
        return {name: child if name in tells else with_secrets_only(child) for name, child in value.items()}
    if isinstance(value, list):
        return [with_secrets_only(child) for child in value]
    return TEXT if isinstance(value, str) else value


def test_parts_belong_to_secrets():
    assert len(SECRET) == 40 and all(len(part) >= 7 for part in SECRET_PARTS + OWN_PARTS)
    own = harness.OWN_SECRET_ACCESS_KEY + harness.OWN_SESSION_TOKEN
    assert all(part in own for part in OWN_PARTS)


def assert_says_nothing_of(parts, event, lightsail, start):
    """Sends `event`, and looks for `parts` in all that the function says."""
    lightsail.seed("us-east-1", BUCKET, [KEY, SIBLING])
    lightsail.seed("eu-central-1", "backups-2019", ["AKIAJ55QH8DHBEXAMPLE"])
    function = start(AWS_LAMBDA_LOG_LEVEL="TRACE", VERIFY_FOR="0")
    answer = function.invoke(event)
    assert len(function.records()) == 1
    said = function.log() + answer.text
    assert [part for part in parts if part in said] == []
