"""Holds the simulator against AWS's own description of Lightsail.

Starts the built binary, drives every operation with boto3 and the delete with the AWS CLI, and
checks every request and every raw answer, member by member, against the service model that comes
with botocore. So the judge is not this repository: whatever the installed botocore says, goes.

    LIGHTSAIL_SIMULATOR_BIN=target/debug/lightsail-simulator pytest tests/simulator/tests
"""

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

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
        if getattr(shape, "enum", []) and value not in shape.enum:
            found.append(f"{where}: {value!r} is not one of {shape.enum}")
        pattern = shape.metadata.get("pattern")
        if pattern and not re.search(pattern, value):
            found.append(f"{where}: {value!r} does not match {pattern}")
    elif kind == "timestamp" and abs(value * 1000 - round(value * 1000)) > 0.001:
        found.append(f"{where}: {value!r} is finer than a millisecond")
    if kind in ("list", "string"):
        low, high = shape.metadata.get("min", 0), shape.metadata.get("max", sys.maxsize)
        if not low <= len(value) <= high:
            found.append(f"{where}: {len(value)} long, {low} to {high} allowed")
    return found


def error_problems(operation, status, headers, body):
    """Everything that is wrong with an error answer of `operation`."""
    code = body.get("__type")
    if headers.get("x-amzn-errortype") != code:
        return [f"the header says {headers.get('x-amzn-errortype')!r}, the body {code!r}"]
    shapes = {shape.name: shape for shape in operation.error_shapes}
    if code not in shapes:
        return [] if code in UNMODELLED and status == 400 else [f"{status} {code} is not in the model"]
    members = {name: value for name, value in body.items() if name != "__type"}
    expected = 500 if MODEL["shapes"][code].get("fault") else 400
    wrong_status = [] if status == expected else [f"{code} came with {status}, not {expected}"]
    missing = [f"{name} is missing" for name in shapes[code].members if name not in members]
    return problems(shapes[code], members) + wrong_status + missing


class Caller:
    """A boto3 client whose every request and answer is judged on the way."""

    def __init__(self, endpoint, account=ACCOUNT, region="eu-west-1", secret=SECRET):
        self.client = boto3.session.Session().client(
            "lightsail",
            region_name=region,
            endpoint_url=endpoint,
            aws_access_key_id=account,
            aws_secret_access_key=secret,
            aws_session_token="any",
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


@pytest.fixture(scope="module")
def endpoint():
    program = os.environ.get("LIGHTSAIL_SIMULATOR_BIN", "")
    if not Path(program).is_file():
        pytest.fail(f"LIGHTSAIL_SIMULATOR_BIN must be the path of the built binary, and is {program!r}")
    arguments = [program, "--listen", "127.0.0.1:0", "--secret-access-key", SECRET, "--page-size", "3"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        yield re.fullmatch(r"lightsail-simulator listening on (http://127\.0\.0\.1:\d+)\n", line)[1]
        process.terminate()
        assert process.wait(timeout=10) == 0


@pytest.fixture
def control(endpoint):
    """The control door of an empty simulator."""

    def ask(path, body=None, method="POST"):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{endpoint}/_simulator/{path}", data=data, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            return json.load(answer)

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
    assert Caller(endpoint, region="mx-central-1").refused("get_buckets") == "UnrecognizedClientException"


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
