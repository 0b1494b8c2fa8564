"""What people read: every record of tests/integration/snapshots through the rules of the record bus and their templates.

There is no EventBridge here, so its documented rules are written down once more, as narrowly as they are needed
(EventBridge user guide, "Amazon EventBridge input transformation"; API reference, "InputTransformer").
"""

import json
import re

import pytest
from test_rules import matches

WITH_KEY = "RecordsWithKey"
WITHOUT_KEY = "RecordsWithoutKey"

# What a stranger may have had a part in, and how it would try to break out of its place.
HOSTILE = 'a "b"} \\ \n"c": <key> {"textType": [\u2028</message>'

# Members with a grammar of their own, which can hold no quote (src/names.rs, src/outcome.rs, src/policy.rs; Lambda's request).
GRAMMAR = {
    "$.detail.status_code": r"[a-z_]+",
    "$.detail.unmapped.access_key.id": r"AKIA[A-Z0-9]{16}",
    "$.detail.unmapped.bucket.name": r"[a-z0-9-]+",
    "$.detail.cloud.account.uid": r"[0-9]{12}",
    "$.detail.unmapped.mode": r"[a-z_]+",
    "$.detail.unmapped.invocation.request_id": r"[a-zA-Z0-9-]+",
}


@pytest.fixture(scope="session")
def records(root):
    """The record of each snapshot, by its file's name."""
    files = sorted((root / "tests/integration/snapshots").glob("*.snap"))
    return {file.stem: json.loads(file.read_text().split("\n---\n", 1)[1]) for file in files}


@pytest.fixture
def rules_for(patterns):
    """The rules of people's messages that pass a record."""

    def names(record):
        event = event_of(record)
        return [name for name, pattern in patterns().items() if name in (WITH_KEY, WITHOUT_KEY) and matches(pattern, event)]

    return names


@pytest.fixture
def transformer(resources):
    """How a rule makes the message of a topic."""

    def of(rule, topic):
        targets = resources("AWS::Events::Rule")[rule]["Targets"]
        targets = [target["Fn::If"][1] if "Fn::If" in target else target for target in targets]
        (target,) = [target for target in targets if target["Arn"] == {"Ref": topic}]
        template = target["InputTransformer"]["InputTemplate"]
        if isinstance(template, dict):
            template = re.sub(r"\$\{(\w+)\}", r"\1", template["Fn::Sub"])
        return target["InputTransformer"]["InputPathsMap"], template

    return of


def event_of(record):
    source, detail_type = "lightsail-key-responder", "Lightsail Bucket Access Key Response"
    return {"version": "0", "source": source, "detail-type": detail_type, "account": "012345678912", "detail": record}


def at(event, path):
    """The value at a path in dot notation; None where there is none, and also for null."""
    root, *members = path.split(".")
    assert root == "$"
    for member in members:
        event = event.get(member) if isinstance(event, dict) else None
    return event


def rendered(transformer, event):
    """The message: a string is written as JSON where it stands by itself, and as it is inside of quotes.

    A variable whose path does not exist is not made, and leaves nothing behind.
    """
    paths, template = transformer
    message, quoted = "", False
    for part in re.split(r'(<\w+>|")', template):
        variable = re.fullmatch(r"<(\w+)>", part)
        if variable:
            value = at(event, paths[variable[1]])
            message += "" if value is None else value if quoted else json.dumps(value)
        else:
            quoted ^= part == '"'
            message += part
    assert not quoted
    return message


def variables(template, quoted):
    """The variables of a template that stand inside of quotes, or outside of them."""
    texts = re.findall(r'"[^"]*"', template)
    inside = {name for text in texts for name in re.findall(r"<(\w+)>", text)}
    outside = set(re.findall(r"<(\w+)>", re.sub(r'"[^"]*"', "", template)))
    return inside if quoted else outside


def test_every_outcome_has_a_record_to_try(records, code):
    body = code("outcome.rs", r"pub fn code\(self\) -> &'static str \{(.*?)\n    \}")
    assert {record["status_code"] for record in records.values()} == set(re.findall(r'=> "(\w+)"', body))


def test_people_are_told_once_of_all_that_they_should_know_and_of_nothing_else(records, rules_for):
    for name, record in records.items():
        told = rules_for(record)
        if record["status_code"] in ("ignored", "already_absent"):
            assert told == [], name
        else:
            assert told == [WITH_KEY if record["unmapped"]["access_key"] else WITHOUT_KEY], name


def received(record, count):
    """A record of a message that SQS delivers for the `count`-th time. "missing" is a record of before that field."""
    record = json.loads(json.dumps(record))
    record["unmapped"]["invocation"].pop("receive_count", None)
    if count != "missing":
        record["unmapped"]["invocation"]["receive_count"] = count
    return record


# What ends the work on a message: SQS does not deliver it again after these.
ENDS = {"revoked", "not_lightsail_key", "dry_run"}


def test_retry_of_message_does_not_notify_again(records, rules_for):
    for name, record in records.items():
        first = rules_for(record)
        for count in (1, None, "missing"):
            assert rules_for(received(record, count)) == first, (name, count)
        for count in (2, 3):
            # That a key is gone after all is news, and a failure that was told is none.
            expected = first if record["status_code"] in ENDS else []
            assert rules_for(received(record, count)) == expected, (name, count)


def test_every_receive_but_the_first_is_a_retry(resources, patterns):
    most = resources("AWS::SQS::Queue")["AlertQueue"]["RedrivePolicy"]["maxReceiveCount"]
    for rule in (WITH_KEY, WITHOUT_KEY):
        first, _ = patterns()[rule]["detail"]["$or"]
        counts = first["unmapped"]["invocation"]["receive_count"]
        assert counts == [{"anything-but": list(range(2, most + 1))}, {"exists": False}]


def delivered(record, source="aws.securityhub", message_id=None, event_id="c8c4daa7-a20c-2f03-0070-b7393dd542ad"):
    """A record of a Security Hub finding whose key is gone."""
    record = json.loads(json.dumps(record))
    record["metadata"]["correlation_uid"] = "arn:aws:securityhub:us-east-1:012345678912:security-control/x/finding/y"
    record["metadata"]["original_event_uid"] = event_id
    record["unmapped"]["alert"]["product_arn"] = "arn:aws:securityhub:us-east-1::product/aws/guardduty"
    record["unmapped"]["alert"]["source"] = source
    record["unmapped"]["invocation"]["message_id"] = message_id
    if event_id is None:
        del record["metadata"]["original_event_uid"]
    return record


def test_only_events_of_aws_get_a_security_hub_note(records, resources, resolved):
    pattern = resolved(resources("AWS::Events::Rule")["RecordsToSecurityHub"]["EventPattern"])
    record = records["revoked_by_name"]
    assert matches(pattern, event_of(delivered(record)))
    # The ID that SQS gives a message is a UUID. A sender of the queue can name any finding in it.
    for digit in "0123456789abcdef":
        message_id = f"{digit}9dd0b57-b21e-4ac1-bd88-01bbb068cb78"
        assert not matches(pattern, event_of(delivered(record, message_id=message_id)))
    assert not matches(pattern, event_of(delivered(record, event_id=None)))
    assert not matches(pattern, event_of(delivered(record, source="direct")))


@pytest.mark.parametrize("topic", ["NotificationTopic", "ChatTopic"])
@pytest.mark.parametrize("rule", [WITH_KEY, WITHOUT_KEY])
def test_only_what_has_a_grammar_stands_in_quotes(rule, topic, transformer, records):
    paths, template = transformer(rule, topic)
    inside, outside = variables(template, quoted=True), variables(template, quoted=False)
    assert inside | outside == set(paths), "every variable is used, and every one that is used is made"
    for name in inside:
        grammar = GRAMMAR[paths[name]]
        for record in records.values():
            value = at(event_of(record), paths[name])
            assert value is None or re.fullmatch(grammar, value), (name, value)
    # EventBridge API reference, "InputTransformer": at most 8192 characters.
    assert len(template) < 8192


def test_an_e_mail_says_what_happened_and_what_to_do(records, rules_for, transformer):
    told = 0
    for name, record in records.items():
        for rule in rules_for(record):
            lines = rendered(transformer(rule, "NotificationTopic"), event_of(record)).split("\n")
            assert all(isinstance(json.loads(line), str) for line in lines), name
            text = "\n".join(json.loads(line) for line in lines)
            assert text.startswith(f"Lightsail key responder: {record['status_code']}\n{record['message']}\n"), name
            assert f"\nWhat to do next:\n{record['remediation']['desc']}\n" in text
            key, bucket = record["unmapped"]["access_key"], record["unmapped"]["bucket"]
            assert f"\nKey: {key['id'] if key else 'none was read'}\n" in text
            assert not key or f"\nBucket: {bucket['name'] if bucket else ''}\n" in text
            assert text.endswith(f"request {record['unmapped']['invocation']['request_id']}")
            assert "<" not in text and "null" not in text
            told += 1
    assert told > 8


def test_what_a_record_does_not_have_leaves_its_place_empty(records, transformer):
    record = json.loads(json.dumps(records["failed"]))
    del record["cloud"]["account"]
    record["unmapped"]["bucket"] = None
    text = rendered(transformer(WITH_KEY, "NotificationTopic"), event_of(record))
    assert '\n"Bucket: "\n"Account: "\n' in text


def chat_message(transformer, rule, record):
    """The message in the form that Amazon Q Developer shows (its administrator guide, "Custom notifications")."""
    message = json.loads(rendered(transformer(rule, "ChatTopic"), event_of(record)))
    assert (message["version"], message["source"]) == ("1.0", "custom")
    assert set(message) == {"version", "source", "content", "metadata"}
    assert set(message["content"]) == {"textType", "title", "description", "nextSteps", "keywords"}
    assert message["content"]["textType"] == "client-markdown"
    assert set(message["metadata"]) == {"threadId", "summary", "eventType", "additionalContext"}
    assert all(isinstance(value, str) and value for value in message["metadata"]["additionalContext"].values())
    return message


def test_a_chat_message_has_the_form_that_is_shown(records, rules_for, transformer):
    told = 0
    for name, record in records.items():
        for rule in rules_for(record):
            message = chat_message(transformer, rule, record)
            assert message["content"]["description"] == record["message"], name
            assert message["content"]["nextSteps"] == [record["remediation"]["desc"]]
            assert message["content"]["title"].endswith(f": {record['status_code']}")
            key = record["unmapped"]["access_key"]
            thread = key["id"] if key else record["unmapped"]["invocation"]["request_id"]
            assert message["metadata"]["threadId"] == thread
            told += 1
    assert told > 8


def spoilt(value, path="$.detail"):
    """A record in which strangers wrote every text that has no grammar of its own."""
    if isinstance(value, dict):
        return {name: spoilt(inner, f"{path}.{name}") for name, inner in value.items()}
    if isinstance(value, list):
        return [spoilt(inner, path) for inner in value]
    return HOSTILE if isinstance(value, str) and path not in GRAMMAR else value


@pytest.mark.parametrize("snapshot", ["revoked_by_name", "unreadable", "failed", "wrong_account"])
def test_no_text_breaks_out_of_its_place(snapshot, records, rules_for, transformer):
    record = spoilt(records[snapshot])
    (rule,) = rules_for(record)
    message = chat_message(transformer, rule, record)
    assert message["content"]["description"] == HOSTILE
    assert message["content"]["nextSteps"] == [HOSTILE]
    told = {**message, "content": {**message["content"], "description": "", "nextSteps": []}}
    assert HOSTILE not in json.dumps(told, ensure_ascii=False)
    lines = rendered(transformer(rule, "NotificationTopic"), event_of(record)).split("\n")
    assert [json.loads(line) for line in lines].count(HOSTILE) == 2
