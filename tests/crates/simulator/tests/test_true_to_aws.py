"""Holds the simulator against AWS's own description of Lightsail and STS.

Starts the built binary, drives every operation with boto3 and the delete with the AWS CLI, and
checks every request and every raw answer, member by member, against the service models that come
with botocore. So the judge is not this repository: whatever the installed botocore says, goes.

    LIGHTSAIL_SIMULATOR_BIN=target/debug/lightsail-simulator pytest tests/crates/simulator/tests
"""

import json
import os
import re
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from xml.etree import ElementTree

import boto3
import pytest
from botocore import xform_name as method_of
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.loaders import Loader

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
KEY, OTHER_KEY = "AKIAIOSFODNN7EXAMPLE", "AKIAI44QH8DHBEXAMPLE"
ACCOUNT = "111111111111"
# botocore's own classes drop `fault`, which tells the server's errors from the caller's.
MODEL = Loader().load_service_model("lightsail", "service-2")
STS_MODEL = Loader().load_service_model("sts", "service-2")
README = Path(__file__).parent.parent / "README.md"

# Errors that AWS sends without having them in the model: those of the layer that checks
# signatures and finds the operation ("Common Errors" in the API reference), and throttling.
UNMODELLED = {
    "ExpiredTokenException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "SerializationException",
    "ThrottlingException",
    "UnknownOperationException",
    "UnrecognizedClientException",
}


# Errors that only a dialect sends for calls whose model does not have them.
OF_A_DIALECT = {"AccountSetupInProgressException", "DoesNotExist", "OperationFailureException"}

# The Region that a dialect adds, so that it is not in the model.
NEW_REGION = "mx-central-1"

# The same for STS, with their HTTP status.
STS_UNMODELLED = {
    "AccessDenied": 403,
    "ExpiredToken": 403,
    "InternalFailure": 500,
    "InvalidAction": 400,
    "InvalidClientTokenId": 403,
    "SignatureDoesNotMatch": 403,
    "Throttling": 400,
    "ValidationError": 400,
}

# A role in another account, and what it asks for.
ROLE, EXTERNAL_ID = "arn:aws:iam::222222222222:role/revoker", "of-the:revoker/1"


# The judge.


def problems(shape, value, where="$"):
    """Everything in `value` that `shape` of botocore's model does not allow."""
    kind = shape.type_name
    types = {
        "structure": dict,
        "list": list,
        "string": str,
        "boolean": bool,
        "integer": int,
        "timestamp": (int, float),
    }
    if not isinstance(value, types[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return [f"{where}: {value!r} is not a {kind}"]
    found = []
    if kind == "structure":
        found += [f"{where}: {name} is missing" for name in shape.required_members if name not in value]
        for name, member in value.items():
            if name in shape.members:
                found += problems(shape.members[name], member, f"{where}.{name}")
            else:
                found.append(f"{where}: {name} is not in the model")
    elif kind == "list":
        for index, member in enumerate(value):
            found += problems(shape.member, member, f"{where}[{index}]")
    elif kind == "string":
        if getattr(shape, "enum", []) and value not in [*shape.enum, NEW_REGION]:
            found.append(f"{where}: {value!r} is not one of {shape.enum}")
        pattern = shape.metadata.get("pattern")
        # The patterns of Lightsail have anchors where they are meant. Those of STS are all meant
        # to fit the whole, and by Java's rules, where `\w` is ASCII.
        fits = re.search if (pattern or "").startswith(("^", ".*")) else re.fullmatch
        if pattern and not fits(java(pattern), value, re.ASCII):
            found.append(f"{where}: {value!r} does not match {pattern}")
    elif kind == "timestamp" and abs(value * 1000 - round(value * 1000)) > 0.001:
        found.append(f"{where}: {value!r} is finer than a millisecond")
    if kind in ("list", "string"):
        low, high = shape.metadata.get("min", 0), shape.metadata.get("max", sys.maxsize)
        if not low <= len(value) <= high:
            found.append(f"{where}: {len(value)} long, {low} to {high} allowed")
    return found


def java(pattern):
    """A pattern of the model for Python, which wants eight digits where Java reads five."""
    return pattern.replace(r"\u10000-\u10FFFF", r"\U00010000-\U0010FFFF")


def error_problems(operation, status, headers, body):
    """Everything that is wrong with an error answer of `operation`."""
    code = body.get("__type")
    if headers.get("x-amzn-errortype") != code:
        return [f"the header says {headers.get('x-amzn-errortype')!r}, the body {code!r}"]
    shapes = {shape.name: shape for shape in operation.error_shapes}
    if code not in shapes:
        return [] if code in UNMODELLED | OF_A_DIALECT and status == 400 else [f"{status} {code} is not in the model"]
    members = {name: value for name, value in body.items() if name != "__type"}
    expected = 500 if MODEL["shapes"][code].get("fault") else 400
    wrong_status = [] if status == expected else [f"{code} came with {status}, not {expected}"]
    missing = [f"{name} is missing" for name in shapes[code].members if name not in members]
    return problems(shapes[code], members) + wrong_status + missing


def read_xml(shape, element):
    """What an element of STS says, by the types of the model, as JSON would have it."""
    space = "{" + STS_MODEL["metadata"]["xmlNamespace"] + "}"
    assert element.tag.startswith(space), element.tag
    if shape is None or shape.type_name != "structure":
        assert len(element) == 0, element.tag
        if shape is not None and shape.type_name == "timestamp":
            parsed = datetime.strptime(element.text, "%Y-%m-%dT%H:%M:%SZ")
            return parsed.replace(tzinfo=timezone.utc).timestamp()
        return element.text or ""
    names = [child.tag.removeprefix(space) for child in element]
    assert len(names) == len(set(names)), names
    return {name: read_xml(shape.members.get(name), child) for name, child in zip(names, element)}


def sts_problems(operation, status, headers, body):
    """Everything that is wrong with an answer of STS: an error as any, a success as modelled."""
    if headers["content-type"] != "text/xml":
        return [f"the content type is {headers['content-type']}"]
    root = ElementTree.fromstring(body)
    space = {"": STS_MODEL["metadata"]["xmlNamespace"]}
    tags = [child.tag.rpartition("}")[2] for child in root]
    if status < 300:
        wrapper = operation.output_shape.serialization["resultWrapper"]
        frame = (f"{operation.name}Response", [wrapper, "ResponseMetadata"])
        request_id = root.findtext("ResponseMetadata/RequestId", namespaces=space)
        found = problems(operation.output_shape, read_xml(operation.output_shape, root.find(wrapper, space)))
    else:
        frame = ("ErrorResponse", ["Error", "RequestId"])
        request_id = root.findtext("RequestId", namespaces=space)
        side, code, message = [root.findtext(f"Error/{name}", namespaces=space) for name in ("Type", "Code", "Message")]
        modelled = {shape.error_code: shape.metadata["error"]["httpStatusCode"] for shape in operation.error_shapes}
        expected = (STS_UNMODELLED | modelled).get(code)
        found = [] if status == expected else [f"{code} came with {status}, not {expected}"]
        found += [] if side == ("Sender" if status < 500 else "Receiver") else [f"{status} is of the {side}"]
        found += [] if message else ["there is no message"]
    if (root.tag, tags) != (f"{{{space['']}}}{frame[0]}", frame[1]):
        found.append(f"{root.tag} has {tags}, expected {frame}")
    if request_id != headers["x-amzn-requestid"]:
        found.append(f"the header says {headers['x-amzn-requestid']!r}, the body {request_id!r}")
    return found


class Assumer:
    """A boto3 client of STS whose every answer is judged on the way."""

    def __init__(self, endpoint, access_key_id=ACCOUNT, secret=SECRET, token=None):
        self.client = boto3.session.Session().client(
            "sts",
            region_name="eu-west-1",
            endpoint_url=endpoint,
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=Config(parameter_validation=False, retries={"total_max_attempts": 1}),
        )
        self.judged = 0
        self.client.meta.events.register("before-parse.sts.*", self.see_answer)

    def see_answer(self, operation_model, response_dict, **_):
        headers, status, body = (response_dict[part] for part in ("headers", "status_code", "body"))
        assert sts_problems(operation_model, status, headers, body) == []
        self.judged += 1

    def assume(self, **input):
        whole = {"RoleArn": ROLE, "RoleSessionName": "test", "ExternalId": EXTERNAL_ID} | input
        return self.client.assume_role(**{name: value for name, value in whole.items() if value is not None})

    def refused(self, **input):
        """The code of the error that assuming a role has to end with."""
        judged = self.judged
        with pytest.raises(ClientError) as caught:
            self.assume(**input)
        assert self.judged == judged + 1
        return caught.value.response["Error"]["Code"]


class Caller:
    """A boto3 client whose every request and answer is judged on the way."""

    def __init__(self, endpoint, account=ACCOUNT, region="eu-west-1", secret=SECRET, token="any"):
        self.client = boto3.session.Session().client(
            "lightsail",
            region_name=region,
            endpoint_url=endpoint,
            aws_access_key_id=account,
            aws_secret_access_key=secret,
            aws_session_token=token,
            # Invalid input has to reach the simulator, and an error must not be tried again.
            config=Config(parameter_validation=False, retries={"total_max_attempts": 1}),
        )
        self.judged = []
        self.raw = None
        self.judges_requests = True
        self.client.meta.events.register("before-send.lightsail.*", self.see_request)
        self.client.meta.events.register("before-parse.lightsail.*", self.see_answer)

    def see_request(self, request, event_name, **_):
        operation = self.client.meta.service_model.operation_model(event_name.rsplit(".", 1)[1])
        if self.judges_requests:
            assert problems(operation.input_shape, json.loads(request.body)) == []

    def see_answer(self, operation_model, response_dict, **_):
        headers, status = response_dict["headers"], response_dict["status_code"]
        assert headers["content-type"] == "application/x-amz-json-1.1"
        assert re.fullmatch(r"[0-9a-f-]{36}", headers["x-amzn-requestid"])
        self.raw = json.loads(response_dict["body"])
        if status < 300:
            assert problems(operation_model.output_shape, self.raw) == []
        else:
            assert error_problems(operation_model, status, headers, self.raw) == []
        self.judged.append(operation_model.name)

    def __getattr__(self, name):
        return getattr(self.client, name)

    def refused(self, method, **input):
        """The type of the error that a call has to end with."""
        self.judges_requests = False
        with pytest.raises(ClientError) as caught:
            getattr(self.client, method)(**input)
        self.judges_requests = True
        return caught.value.response["Error"]["Code"]


# The simulator.


def binary():
    program = os.environ.get("LIGHTSAIL_SIMULATOR_BIN", "")
    if not Path(program).is_file():
        pytest.fail(f"LIGHTSAIL_SIMULATOR_BIN must be the path of the built binary, and is {program!r}")
    return program


@contextmanager
def simulator(*options):
    """The endpoint of a simulator with these options."""
    arguments = [binary(), "--listen", "127.0.0.1:0", "--secret-access-key", SECRET, "--page-size", "3", *options]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        yield re.fullmatch(r"lightsail-simulator listening on (http://127\.0\.0\.1:\d+)\n", line)[1]
        process.terminate()
        assert process.wait(timeout=10) == 0


@pytest.fixture(scope="module")
def endpoint():
    with simulator() as address:
        yield address


def control_of(endpoint):
    """The control door of a simulator."""

    def ask(path, body=None, method="POST"):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{endpoint}/_simulator/{path}", data=data, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            return json.load(answer)

    return ask


@pytest.fixture
def control(endpoint):
    """The control door of an empty simulator."""
    ask = control_of(endpoint)
    ask("reset")
    return ask


@pytest.fixture
def caller(endpoint, control):
    return Caller(endpoint)


@pytest.fixture
def invoices(control):
    """A bucket with two keys, one of them used."""
    used = {"lastUsedDate": "2026-11-02T03:04:05.678Z", "region": "eu-west-1", "serviceName": "s3"}
    keys = [KEY, {"id": OTHER_KEY, "status": "Inactive", "lastUsed": used}]
    control("seed", {"account": ACCOUNT, "region": "eu-west-1", "bucket": "invoices", "keys": keys})
    return "invoices"


@pytest.fixture
def assumer(endpoint, control):
    """A caller for whom there is a role in another account, which has a bucket."""
    control("roles", {"account": "222222222222", "name": "revoker", "externalId": EXTERNAL_ID})
    control("seed", {"account": "222222222222", "region": "eu-west-1", "bucket": "theirs", "keys": [KEY]})
    return Assumer(endpoint)


def documented_operations():
    """The operations that the README promises."""
    section = README.read_text().split("## Operations", 1)[1].split("\n## ", 1)[0]
    return sorted(set(re.findall(r"`([A-Z]\w+)`", section.split("\n\n")[1])))


# The judge judged: one that finds nothing would pass everything.


@pytest.mark.parametrize(
    "change",
    [
        {"accessKeyId": "too-short"},
        {"accessKeyId": KEY.lower()},
        {"status": "Gone"},
        {"createdAt": "2026-11-24T00:00:00Z"},
        {"createdAt": True},
        {"lastUsed": []},
        {"lastUsed": {"lastUsedDate": None}},
        {"secret": "x"},
    ],
)
def test_the_judge_finds_what_the_model_does_not_allow(caller, change):
    model = caller.meta.service_model
    good = {"accessKeyId": KEY, "status": "Active", "createdAt": 1479816991.349, "lastUsed": {"region": "N/A"}}
    assert problems(model.shape_for("AccessKey"), good) == []
    assert len(problems(model.shape_for("AccessKey"), good | change)) >= 1


def test_the_judge_finds_missing_members_and_wrong_errors(caller):
    model = caller.meta.service_model
    assert problems(model.shape_for("DeleteBucketAccessKeyRequest"), {"bucketName": "abc"}) != []
    delete = model.operation_model("DeleteBucketAccessKey")
    body = {"__type": "ServiceException", "code": "c", "docs": "d", "message": "m", "tip": "t"}
    headers = {"x-amzn-errortype": "ServiceException"}
    assert error_problems(delete, 500, headers, body) == []
    assert error_problems(delete, 400, headers, body) != []
    assert error_problems(delete, 500, {}, body) != []
    assert error_problems(delete, 500, headers, {"__type": "ServiceException"}) != []
    unknown = {"__type": "OddException"}
    assert error_problems(delete, 400, {"x-amzn-errortype": "OddException"}, unknown) != []


# The operations.


def test_every_documented_operation_is_true_to_the_model(caller):
    caller.get_regions(includeAvailabilityZones=True, includeRelationalDatabaseAvailabilityZones=True)
    caller.get_regions()
    created = caller.create_bucket(
        bucketName="invoices",
        bundleId="small_1_0",
        tags=[{"key": "team", "value": "billing"}],
        enableObjectVersioning=True,
    )
    assert created["bucket"]["arn"].startswith(f"arn:aws:lightsail:eu-west-1:{ACCOUNT}:Bucket/")
    [bucket] = caller.get_buckets(bucketName="invoices", includeConnectedResources=True, includeCors=True)["buckets"]
    assert bucket["tags"] == [{"key": "team", "value": "billing"}]
    assert bucket == created["bucket"] | {"resourcesReceivingAccess": []}
    key = caller.create_bucket_access_key(bucketName="invoices")["accessKey"]
    [listed] = caller.get_bucket_access_keys(bucketName="invoices")["accessKeys"]
    assert key == listed | {"secretAccessKey": key["secretAccessKey"], "lastUsed": {}}
    assert listed["lastUsed"] == {"region": "N/A", "serviceName": "N/A"}
    [deleting] = caller.delete_bucket_access_key(bucketName="invoices", accessKeyId=key["accessKeyId"])["operations"]
    applicable = set(caller.meta.service_model.shape_for("Operation").members) - {"errorCode", "errorDetails"}
    assert set(deleting) == applicable
    deleted = caller.get_operation(operationId=deleting["id"])["operation"]
    assert (deleting["status"], deleting["isTerminal"]) == ("Started", False)
    assert (deleted["status"], deleted["isTerminal"]) == ("Succeeded", True)
    assert deleted["operationDetails"] == key["accessKeyId"]
    caller.delete_bucket(bucketName="invoices")
    operations = caller.get_operations()
    assert [operation["operationType"] for operation in operations["operations"]] == [
        "CreateBucket",
        "CreateBucketAccessKey",
        "DeleteBucketAccessKey",
    ]
    rest = caller.get_operations(pageToken=operations["nextPageToken"])
    assert [operation["operationType"] for operation in rest["operations"]] == ["DeleteBucket"]
    assert sorted(set(caller.judged)) == documented_operations()


def test_a_failed_operation_is_true_to_the_model(caller, control, invoices):
    fault = {"kind": "operation_failed", "code": "InternalError", "details": "as scripted"}
    control("faults", {"operation": "DeleteBucketAccessKey", "fault": fault})
    [deleting] = caller.delete_bucket_access_key(bucketName=invoices, accessKeyId=KEY)["operations"]
    failed = caller.get_operation(operationId=deleting["id"])["operation"]
    assert set(failed) == set(caller.meta.service_model.shape_for("Operation").members)
    assert (failed["status"], failed["isTerminal"]) == ("Failed", True)


def test_the_simulator_has_what_the_readme_says_and_nothing_else(caller):
    assert len(documented_operations()) == 9
    for operation in caller.meta.service_model.operation_names:
        if operation not in documented_operations():
            assert caller.refused(method_of(operation)) == "UnknownOperationException"


def test_seeded_keys_are_true_to_the_model_and_have_no_secret(caller, invoices):
    keys = caller.get_bucket_access_keys(bucketName=invoices)["accessKeys"]
    assert [key["accessKeyId"] for key in keys] == [KEY, OTHER_KEY]
    assert keys[1]["lastUsed"]["lastUsedDate"].isoformat().startswith("2026-11-0")
    assert "secret" not in json.dumps(caller.raw).lower()


def test_a_bucket_has_at_most_two_keys(caller, invoices):
    assert caller.refused("create_bucket_access_key", bucketName=invoices) == "InvalidInputException"
    caller.delete_bucket_access_key(bucketName=invoices, accessKeyId=KEY)
    created = caller.create_bucket_access_key(bucketName=invoices)["accessKey"]
    assert caller.refused("create_bucket_access_key", bucketName=invoices) == "InvalidInputException"
    caller.get_bucket_access_keys(bucketName=invoices)
    assert created["secretAccessKey"] not in json.dumps(caller.raw)
    assert "secretAccessKey" not in json.dumps(caller.raw)


def test_paging_yields_every_bucket_once(caller):
    names = [f"bucket-{number}" for number in range(7)]
    for name in reversed(names):
        caller.create_bucket(bucketName=name, bundleId="small_1_0")
    pages, token = [], {}
    while token is not None:
        page = caller.get_buckets(**token)
        pages.append([bucket["name"] for bucket in page["buckets"]])
        token = {"pageToken": page["nextPageToken"]} if "nextPageToken" in page else None
    assert [len(page) for page in pages] == [3, 3, 1]
    assert sum(pages, []) == names


def test_accounts_and_regions_do_not_see_each_other(caller, endpoint, invoices):
    others = [Caller(endpoint, account="222222222222"), Caller(endpoint, region="us-east-1")]
    for other in others:
        assert other.get_buckets()["buckets"] == []
        assert other.refused("get_buckets", bucketName=invoices) == "NotFoundException"
        assert other.refused("delete_bucket_access_key", bucketName=invoices, accessKeyId=KEY) == "NotFoundException"
        assert other.refused("create_bucket", bucketName=invoices, bundleId="small_1_0") == "InvalidInputException"
        other.create_bucket(bucketName=f"of-{other.meta.region_name}", bundleId="small_1_0")
    assert [bucket["name"] for bucket in caller.get_buckets()["buckets"]] == [invoices]
    assert len(caller.get_bucket_access_keys(bucketName=invoices)["accessKeys"]) == 2


def test_every_region_of_the_list_can_be_called(caller, endpoint):
    names = [region["name"] for region in caller.get_regions()["regions"]]
    for name in names:
        assert Caller(endpoint, region=name).get_buckets()["buckets"] == []
    assert Caller(endpoint, region=NEW_REGION).refused("get_buckets") == "UnrecognizedClientException"


def test_a_wrong_secret_is_refused(endpoint, invoices):
    wrong = Caller(endpoint, secret=SECRET[:-1])
    assert wrong.refused("get_buckets") == "InvalidSignatureException"
    assert wrong.refused("delete_bucket_access_key", bucketName=invoices, accessKeyId=KEY) == "InvalidSignatureException"
    assert len(Caller(endpoint).get_bucket_access_keys(bucketName=invoices)["accessKeys"]) == 2


# What is refused.


def test_input_that_the_model_does_not_allow_is_invalid(caller, invoices):
    """Takes every input member with a rule from the model, and breaks the rule."""
    good = {"bucketName": invoices, "accessKeyId": KEY, "operationId": "x", "bundleId": "small_1_0"}
    broken = 0
    for operation in documented_operations():
        shape = caller.meta.service_model.operation_model(operation).input_shape
        whole = {name: good[name] for name in shape.required_members}
        for name in shape.required_members:
            without = {member: value for member, value in whole.items() if member != name}
            assert caller.refused(method_of(operation), **without) == "InvalidInputException"
            broken += 1
        for name, member in shape.members.items():
            for value in ("", " ", "A", "ab", "-bc", "x" * 55):
                if member.type_name == "string" and problems(member, value):
                    code = caller.refused(method_of(operation), **(whole | {name: value}))
                    assert code == "InvalidInputException", (operation, name, value)
                    broken += 1
    assert broken > 40


def test_input_of_the_wrong_type_is_not_readable(endpoint, invoices):
    caller = Caller(endpoint)
    caller.meta.events.register(
        "before-call.lightsail.*", lambda params, **_: params.update(body=b'{"bucketName": ["invoices"]}')
    )
    assert caller.refused("get_bucket_access_keys", bucketName=invoices) == "SerializationException"


def test_what_does_not_exist_is_not_found(caller, invoices):
    for method, input in [
        ("get_buckets", {"bucketName": "nothing"}),
        ("delete_bucket", {"bucketName": "nothing"}),
        ("create_bucket_access_key", {"bucketName": "nothing"}),
        ("get_bucket_access_keys", {"bucketName": "nothing"}),
        ("delete_bucket_access_key", {"bucketName": "nothing", "accessKeyId": KEY}),
        ("delete_bucket_access_key", {"bucketName": invoices, "accessKeyId": "AKIAUNKNOWN"}),
        ("get_operation", {"operationId": "00000000-0000-4000-8000-000000000000"}),
    ]:
        assert caller.refused(method, **input) == "NotFoundException", (method, input)


def test_a_bucket_with_keys_needs_force_to_be_deleted(caller, invoices):
    assert caller.refused("delete_bucket", bucketName=invoices) == "InvalidInputException"
    caller.delete_bucket(bucketName=invoices, forceDelete=True)
    assert caller.get_buckets()["buckets"] == []


def test_a_scripted_error_of_the_model_is_raised_as_its_own_exception(caller, control):
    kinds = {
        "AccessDeniedException": {"kind": "access_denied"},
        "InvalidInputException": {"kind": "invalid_input"},
        "NotFoundException": {"kind": "not_found"},
        "RegionSetupInProgressException": {"kind": "region_setup_in_progress"},
        "ServiceException": {"kind": "service_exception"},
        "UnauthenticatedException": {"kind": "unauthenticated"},
    }
    for operation in documented_operations():
        for shape in caller.meta.service_model.operation_model(operation).error_shapes:
            fault = kinds.get(shape.name, {"kind": "error", "code": shape.name})
            control("faults", {"operation": operation, "fault": fault})
            caller.judges_requests = False
            with pytest.raises(getattr(caller.exceptions, shape.name)) as caught:
                getattr(caller, method_of(operation))()
            assert caught.value.response["Error"]["Message"]


def test_errors_outside_the_model_carry_their_code(caller, control):
    for code, fault in [
        ("ThrottlingException", {"kind": "throttled"}),
        ("InvalidInputException", {"kind": "does_not_exist"}),
        ("ExpiredTokenException", {"kind": "error", "code": "ExpiredTokenException"}),
    ]:
        control("faults", {"operation": "GetBuckets", "fault": fault})
        assert caller.refused("get_buckets") == code


# The dialects: every answer parses and is judged, whichever way AWS behaves.


def settings_in_the_readme():
    """The settings of `--dialect` and their values, as the README promises them."""
    section = README.read_text().split("## Dialects", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| \S+ \| `([a-z-]+)` \| `([a-z-]+)`", section, re.MULTILINE)
    settings = {}
    for setting, value in rows:
        settings.setdefault(setting, []).append(value)
    return settings


# What the calls of `answers` end with in each dialect, where it differs from the default.
DEFAULT = {
    "deleted": ["Succeeded"],
    "absent key": "NotFoundException",
    "missing bucket": "NotFoundException",
    "empty": {"accessKeys": []},
    "tagged": ["Succeeded"],
    "unused": {"buckets": []},
    "opt-in": {"buckets": []},
    "regions": 19,
}
DIFFERENT = {
    "delete-operations=terminal": {},
    "delete-operations=several": {"deleted": ["Succeeded"] * 2, "tagged": ["Succeeded"] * 2},
    "delete-operations=empty": {"deleted": [], "tagged": []},
    "delete-operations=absent": {"deleted": None, "tagged": None},
    "absent-key=succeeded": {"absent key": ["Succeeded"]},
    "absent-key=failed": {"absent key": ["Failed"]},
    "absent-key=no-operations": {"absent key": []},
    "missing-bucket=invalid-input": {"missing bucket": "InvalidInputException"},
    "missing-bucket=does-not-exist": {"missing bucket": "DoesNotExist"},
    "missing-bucket=does-not-exist-text": {"missing bucket": "OperationFailureException"},
    "empty-lists=absent": {"empty": {}, "unused": {}, "opt-in": {}},
    "tag-deny=evaluated": {"tagged": "AccessDeniedException"},
    "operation-memory=forgotten": {"deleted": ["NotFoundException"], "tagged": ["NotFoundException"]},
    "opt-in-regions=disabled": {"opt-in": "UnrecognizedClientException"},
    "unused-account=setup-in-progress": {"unused": "AccountSetupInProgressException"},
    "unused-account=denied": {"unused": "AccessDeniedException"},
    "new-region=listed": {"regions": 20},
}


def answers(endpoint, caller, control):
    """What a client of this simulator meets, call by call."""

    def ended(call, *arguments, **input):
        try:
            call(*arguments, **input)
            return caller.raw
        except ClientError as error:
            return error.response["Error"]["Code"]

    def delete(bucket, key):
        answer = ended(caller.delete_bucket_access_key, bucketName=bucket, accessKeyId=key)
        if not isinstance(answer, dict) or "operations" not in answer:
            return answer if isinstance(answer, str) else None
        polls = [ended(caller.get_operation, operationId=operation["id"]) for operation in answer["operations"]]
        return [poll if isinstance(poll, str) else poll["operation"]["status"] for poll in polls]

    control("seed", {"account": ACCOUNT, "region": "eu-west-1", "bucket": "invoices", "keys": [KEY]})
    tags = [{"key": "team", "value": "billing"}]
    control("seed", {"account": ACCOUNT, "region": "eu-west-1", "bucket": "tagged", "keys": [KEY], "tags": tags})
    unused = Caller(endpoint, account="222222222222")
    opt_in = Caller(endpoint, region="ap-east-1")
    found = {
        "absent key": delete("invoices", OTHER_KEY),
        "deleted": delete("invoices", KEY),
        "empty": ended(caller.get_bucket_access_keys, bucketName="invoices"),
        "missing bucket": ended(caller.get_bucket_access_keys, bucketName="nothing"),
        "tagged": delete("tagged", KEY),
        "regions": len(caller.get_regions()["regions"]),
    }
    assert delete("nothing", KEY) == found["missing bucket"]
    for name, other in [("unused", unused), ("opt-in", opt_in)]:
        code = ended(other.get_buckets)
        found[name] = code if isinstance(code, str) else other.raw
    return found


def test_the_readme_and_help_have_the_same_dialects():
    help = subprocess.run([binary(), "--help"], capture_output=True, text=True, check=True, timeout=10).stdout
    listed = re.findall(r"^  ([a-z-]+) +([a-z-]+(?:, [a-z-]+)+)$", help.split("Settings of --dialect")[1], re.MULTILINE)
    assert settings_in_the_readme() == {setting: values.split(", ") for setting, values in listed}
    others = {f"{setting}={value}" for setting, (_, *values) in settings_in_the_readme().items() for value in values}
    assert others - {"tag-deny=ignored"} == set(DIFFERENT) - {"tag-deny=evaluated"}


@pytest.mark.parametrize("dialect", ["default", *DIFFERENT, "tag-deny=ignored"])
def test_answers_in_every_dialect_are_parsed_and_judged(dialect):
    options = ["--denied-tag", "team=billing"] if dialect.startswith("tag-deny") else []
    with simulator("--dialect", dialect, *options) as endpoint:
        found = answers(endpoint, Caller(endpoint), control_of(endpoint))
    assert found == DEFAULT | DIFFERENT.get(dialect, {})


def test_a_new_region_works_like_any_other():
    with simulator("--dialect", "new-region=listed") as endpoint:
        there = Caller(endpoint, region=NEW_REGION)
        control_of(endpoint)("seed", {"account": ACCOUNT, "region": NEW_REGION, "bucket": "photos", "keys": [KEY]})
        there.delete_bucket_access_key(bucketName="photos", accessKeyId=KEY)
        assert there.get_bucket_access_keys(bucketName="photos")["accessKeys"] == []
        assert there.get_buckets()["buckets"][0]["location"]["regionName"] == NEW_REGION
        assert NEW_REGION in [region["name"] for region in there.get_regions()["regions"]]


# STS.


def test_the_judge_of_sts_finds_what_the_model_does_not_allow(assumer):
    operation = assumer.client.meta.service_model.operation_model("AssumeRole")
    space = STS_MODEL["metadata"]["xmlNamespace"]
    headers = {"content-type": "text/xml", "x-amzn-requestid": "id"}
    keys = "<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
    user = "<AssumedRoleId>AROA:me</AssumedRoleId><Arn>arn:aws:sts::1:assumed-role/r/me</Arn>"
    user = f"<AssumedRoleUser>{user}</AssumedRoleUser>"
    good = (
        f'<AssumeRoleResponse xmlns="{space}"><AssumeRoleResult><Credentials><AccessKeyId>ASIAIOSFODNN7EXAMPLE'
        f"</AccessKeyId>{keys}<Expiration>2026-11-24T00:00:00Z</Expiration></Credentials>{user}</AssumeRoleResult>"
        "<ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></AssumeRoleResponse>"
    )
    assert sts_problems(operation, 200, headers, good) == []
    assert sts_problems(operation, 200, headers | {"x-amzn-requestid": "other"}, good) != []
    assert sts_problems(operation, 200, headers | {"content-type": "text/html"}, good) != []
    for old, new in [(keys, ""), ("ASIAIOSFODNN7EXAMPLE", "A-B"), (user, "<Odd/>"), (user, user.replace("AROA", "/"))]:
        assert sts_problems(operation, 200, headers, good.replace(old, new)) != [], (old, new)
    for old, new in [("AROA:me", "<b/>"), ("Z</", "</"), (user, user * 2), (f' xmlns="{space}"', "")]:
        with pytest.raises((AssertionError, AttributeError, ValueError)):
            sts_problems(operation, 200, headers, good.replace(old, new))
    bad = "<Type>Sender</Type><Code>AccessDenied</Code><Message>m</Message>"
    bad = f'<ErrorResponse xmlns="{space}"><Error>{bad}</Error><RequestId>id</RequestId></ErrorResponse>'
    assert sts_problems(operation, 403, headers, bad) == []
    assert sts_problems(operation, 400, headers, bad) != []
    for old, new in [("Sender", "Receiver"), ("AccessDenied", "Odd"), ("<Message>m</Message>", ""), (space, "urn:x")]:
        assert sts_problems(operation, 403, headers, bad.replace(old, new)) != [], (old, new)


def test_an_assumed_role_sees_the_buckets_of_its_account(assumer, caller, endpoint, control):
    assumed = assumer.assume(DurationSeconds=900)
    assert assumed["AssumedRoleUser"]["Arn"] == "arn:aws:sts::222222222222:assumed-role/revoker/test"
    credentials = assumed["Credentials"]
    left = credentials["Expiration"] - datetime.now(timezone.utc)
    assert timedelta(seconds=880) < left <= timedelta(seconds=900)
    keys = [credentials[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
    role = Caller(endpoint, account=keys[0], secret=keys[1], token=keys[2])
    assert [bucket["name"] for bucket in role.get_buckets()["buckets"]] == ["theirs"]
    role.delete_bucket_access_key(bucketName="theirs", accessKeyId=KEY)
    assert caller.get_buckets()["buckets"] == []
    for wrong in ({"secret": SECRET, "token": keys[2]}, {"secret": keys[1], "token": keys[2][:-1]}):
        code = Caller(endpoint, account=keys[0], **wrong).refused("get_buckets")
        assert code in ("InvalidSignatureException", "UnrecognizedClientException")
    assert Assumer(endpoint, *keys).assume()["Credentials"]["AccessKeyId"] != keys[0]
    [first, *others] = control("requests", method="GET")
    assert (first["operation"], first["account"], first["region"]) == ("AssumeRole", ACCOUNT, "eu-west-1")
    assert (first["role_arn"], first["role_session_name"], first["external_id"]) == (ROLE, "test", EXTERNAL_ID)
    assert [request["account"] for request in others[:3]] == ["222222222222", "222222222222", ACCOUNT]


def test_a_role_without_its_external_id_is_refused(assumer, endpoint):
    for input in ({"ExternalId": None}, {"ExternalId": "wrong"}, {"RoleArn": ROLE + "2"}):
        assert assumer.refused(**input) == "AccessDenied"
    assert Assumer(endpoint, secret=SECRET[:-1]).refused() == "SignatureDoesNotMatch"
    assert "Credentials" in assumer.assume()


def test_a_session_that_has_ended_is_refused(assumer, endpoint, control):
    control("roles", {"account": "222222222222", "name": "revoker", "lastsSeconds": 0})
    credentials = assumer.assume()["Credentials"]
    keys = [credentials[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")]
    role = Caller(endpoint, account=keys[0], secret=keys[1], token=keys[2])
    assert role.refused("get_buckets") == "ExpiredTokenException"
    assert Assumer(endpoint, *keys).refused() == "ExpiredToken"


def test_input_that_the_model_of_sts_does_not_allow_is_a_validation_error(assumer):
    members = assumer.client.meta.service_model.operation_model("AssumeRole").input_shape.members
    values = ("", "x", "ab", "a b", "a:b", "a/b", "a\tb", "\0" * 20, "ää", "a_+=,.@-Z9", "x" * 65, "x" * 2049)
    broken = 0
    for name in ("RoleArn", "RoleSessionName"):
        assert assumer.refused(**{name: None}) == "ValidationError"
    for name in ("RoleArn", "RoleSessionName", "ExternalId"):
        for value in values:
            if problems(members[name], value):
                assert assumer.refused(**{name: value}) == "ValidationError", (name, value)
                broken += 1
            elif name == "RoleSessionName":
                assumer.assume(**{name: value})
            elif name == "ExternalId":
                assert assumer.refused(**{name: value}) == "AccessDenied", value
    assert broken > 20
    for seconds in (899, 43201):
        assert assumer.refused(DurationSeconds=seconds) == "ValidationError"


def test_sts_has_nothing_but_assume_role(assumer):
    assumer.assume()
    with pytest.raises(ClientError) as caught:
        assumer.client.get_caller_identity()
    assert caught.value.response["Error"]["Code"] == "InvalidAction"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_scripted_error_of_sts_carries_its_code(assumer, control):
    for code, fault in [
        ("AccessDenied", {"kind": "access_denied"}),
        ("ExpiredTokenException", {"kind": "error", "code": "ExpiredTokenException"}),
        ("InternalFailure", {"kind": "service_exception"}),
        ("InvalidClientTokenId", {"kind": "unauthenticated"}),
        ("RegionDisabledException", {"kind": "error", "code": "RegionDisabledException", "status": 403}),
        ("Throttling", {"kind": "throttled"}),
        ("ValidationError", {"kind": "invalid_input"}),
    ]:
        control("faults", {"operation": "AssumeRole", "fault": fault})
        assert assumer.refused() == code


# The AWS CLI.


@pytest.fixture
def aws(endpoint, tmp_path):
    def run(*arguments):
        environment = {
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_MAX_ATTEMPTS": "1",
            "HOME": str(tmp_path),
            "PATH": os.defpath,
        }
        program = [sys.executable, Path(sys.executable).parent / "aws", "lightsail", *arguments]
        options = ["--endpoint-url", endpoint, "--region", "eu-west-1", "--output", "json"]
        done = subprocess.run([*program, *options], env=environment, capture_output=True, text=True, timeout=60)
        return done.returncode, json.loads(done.stdout or "null"), done.stderr

    return run


def test_the_aws_cli_deletes_a_key_and_sees_it_through(aws, control, invoices):
    key = ["--bucket-name", invoices, "--access-key-id", KEY]
    code, deleted, _ = aws("delete-bucket-access-key", *key)
    assert (code, deleted["operations"][0]["operationType"]) == (0, "DeleteBucketAccessKey")
    code, polled, _ = aws("get-operation", "--operation-id", deleted["operations"][0]["id"])
    assert (code, polled["operation"]["status"]) == (0, "Succeeded")
    code, left, _ = aws("get-bucket-access-keys", "--bucket-name", invoices)
    assert (code, [key["accessKeyId"] for key in left["accessKeys"]]) == (0, [OTHER_KEY])
    code, _, error = aws("delete-bucket-access-key", *key)
    assert code != 0 and "(NotFoundException)" in error
    seen = control("requests", method="GET")
    assert [(request["operation"], request["status"]) for request in seen] == [
        ("DeleteBucketAccessKey", 200),
        ("GetOperation", 200),
        ("GetBucketAccessKeys", 200),
        ("DeleteBucketAccessKey", 400),
    ]
    assert seen[0]["access_key_id"] == KEY and "aws-cli/" in seen[0]["user_agent"]
