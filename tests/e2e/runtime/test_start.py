"""A function whose environment is wrong does not start: a typing error must not turn into a key that lives on."""

import re
import subprocess

import alerts
import harness
import pytest

LOOPBACK = "http://127.0.0.1:4599"
MEMBERS = {"MEMBER_ROLE_NAME": "responder", "ALLOWED_ACCOUNTS": "111122223333"}
ROLE_NAME = "a role's name without its path: 1 to 64 characters of A-Z, a-z, 0-9 and +=,.@-_"
BUCKETS = "bucket names separated by commas (A-Z, a-z, 0-9, period, underscore and hyphen)"
REGIONS = "codes of Regions that have Lightsail, separated by commas, such as eu-west-1,eu-central-1"
RECORD_BUS = "the name of an event bus (1 to 256 characters of A-Z, a-z, 0-9 and /.-_) or its ARN"
VERIFY_FOR = "a number of seconds from 0 to 900, such as 2.5 (10 is the default)"
ENDPOINT = "http or https at a loopback address"

# Each: the variables, the one that is wrong, the part of its value that is, and what is accepted.
WRONG = {
    "a mode that does not exist": (
        {"RESPONDER_MODE": "dry-run"},
        "RESPONDER_MODE",
        "dry-run",
        "enforce (the default), dry_run",
    ),
    "an endpoint elsewhere": (
        {"AWS_ENDPOINT_URL_LIGHTSAIL": "https://lightsail.example.com"},
        "AWS_ENDPOINT_URL_LIGHTSAIL",
        "https://lightsail.example.com",
        ENDPOINT,
    ),
    "an endpoint that only looks like loopback": (
        {"AWS_ENDPOINT_URL_LIGHTSAIL": "http://127.0.0.1.example.com"},
        "AWS_ENDPOINT_URL_LIGHTSAIL",
        "http://127.0.0.1.example.com",
        ENDPOINT,
    ),
    "an STS elsewhere": (
        {"AWS_ENDPOINT_URL_STS": "https://sts.example.com"},
        "AWS_ENDPOINT_URL_STS",
        "https://sts.example.com",
        ENDPOINT,
    ),
    "a Region that is none": ({"AWS_REGION": "Ireland"}, "AWS_REGION", "Ireland", "a Region code such as eu-central-1"),
    "no key at all": (
        {"MAX_KEYS_PER_ALERT": "0"},
        "MAX_KEYS_PER_ALERT",
        "0",
        "a whole number from 1 to 1000 (20 is the default)",
    ),
    "a bucket that is none among those that are": (
        {"PROTECTED_BUCKETS": "photos,My/Bucket"},
        "PROTECTED_BUCKETS",
        "My/Bucket",
        BUCKETS,
    ),
    "buckets separated by something else": (
        {"PROTECTED_BUCKETS": "photos backups"},
        "PROTECTED_BUCKETS",
        "photos backups",
        BUCKETS,
    ),
    "a list of buckets that was cut off": ({"PROTECTED_BUCKETS": "photos,"}, "PROTECTED_BUCKETS", "", BUCKETS),
    "an account that is none": (
        {**MEMBERS, "ALLOWED_ACCOUNTS": "111122223333,4444-5555-6666"},
        "ALLOWED_ACCOUNTS",
        "4444-5555-6666",
        "account IDs of 12 digits, separated by commas",
    ),
    "all accounts": (
        {**MEMBERS, "ALLOWED_ACCOUNTS": "*"},
        "ALLOWED_ACCOUNTS",
        "*",
        "account IDs of 12 digits, separated by commas",
    ),
    "a role by its ARN": (
        {**MEMBERS, "MEMBER_ROLE_NAME": "arn:aws:iam::111122223333:role/responder"},
        "MEMBER_ROLE_NAME",
        "arn:aws:iam::111122223333:role/responder",
        ROLE_NAME,
    ),
    "an external ID that is too short": (
        {**MEMBERS, "MEMBER_EXTERNAL_ID": "a"},
        "MEMBER_EXTERNAL_ID",
        "a",
        "2 to 1224 characters of A-Z, a-z, 0-9 and +=,.@:/-_",
    ),
    "a Region without Lightsail": ({"SEARCH_REGIONS": "eu-west-1,me-south-1"}, "SEARCH_REGIONS", "me-south-1", REGIONS),
    "Regions separated by something else": (
        {"SEARCH_REGIONS": "eu-west-1;eu-west-2"},
        "SEARCH_REGIONS",
        "eu-west-1;eu-west-2",
        REGIONS,
    ),
    "seconds with their unit": ({"VERIFY_FOR": "10s"}, "VERIFY_FOR", "10s", VERIFY_FOR),
    "milliseconds in place of seconds": ({"VERIFY_FOR": "10000"}, "VERIFY_FOR", "10000", VERIFY_FOR),
    "a bus that is none": ({"RECORD_BUS": "my bus"}, "RECORD_BUS", "my bus", RECORD_BUS),
    "the ARN of a queue as a bus": (
        {"RECORD_BUS": "arn:aws:sqs:us-east-1:111122223333:q"}, "RECORD_BUS", "arn:aws:sqs:us-east-1:111122223333:q", RECORD_BUS
    ),
    "time that runs backwards": ({"VERIFY_FOR": "-1"}, "VERIFY_FOR", "-1", VERIFY_FOR),
}


@pytest.mark.parametrize(("settings", "variable", "value", "accepted"), WRONG.values(), ids=WRONG)
def test_a_wrong_variable_is_named_with_its_value_and_what_is_accepted(settings, variable, value, accepted, bootstrap):
    code, said = run_alone(bootstrap, {**harness.own_environment(LOOPBACK), **settings})
    assert code != 0
    assert f'{variable} is "{value}"; accepted: {accepted}' in said
    assert said.count("accepted:") == 1, "and no other is found wrong"
    assert harness.OWN_SECRET_ACCESS_KEY not in said and harness.OWN_SESSION_TOKEN not in said


MISSPELT = {
    "RESPONDER_MOD": "RESPONDER_MODE",
    "PROTECTED_BUCKET": "PROTECTED_BUCKETS",
    "PROTECT_BUCKETS": "PROTECTED_BUCKETS",
    "MAX_KEYS": "MAX_KEYS_PER_ALERT",
    "MEMBER_ROLE": "MEMBER_ROLE_NAME",
    "MEMBER_EXTERNALID": "MEMBER_EXTERNAL_ID",
    "ALLOWED_ACCOUNT": "ALLOWED_ACCOUNTS",
    "SEARCH_REGION": "SEARCH_REGIONS",
    "VERIFY_SECONDS": "VERIFY_FOR",
    "RECORDS_BUS": "RECORD_BUS",
}


@pytest.mark.parametrize("misspelt", MISSPELT)
def test_a_misspelt_variable_is_named_and_so_are_all_that_there_are(misspelt, bootstrap):
    code, said = run_alone(bootstrap, {**harness.own_environment(LOOPBACK), misspelt: "photos"})
    assert code != 0
    accepted = re.findall(re.escape(misspelt) + r" is not a variable of this function; accepted: ([A-Z_, ]+)", said)
    assert len(accepted) == 1 and set(accepted[0].split(", ")) == set(MISSPELT.values())


# Each: the variables, and what is said to be missing beside them.
HALVES = {
    "a role without accounts": (
        {"MEMBER_ROLE_NAME": "responder"},
        "ALLOWED_ACCOUNTS is missing, and MEMBER_ROLE_NAME means nothing without it",
    ),
    "accounts without a role": (
        {"ALLOWED_ACCOUNTS": "111122223333"},
        "MEMBER_ROLE_NAME is missing, and ALLOWED_ACCOUNTS means nothing without it",
    ),
    "an external ID without a role": (
        {"MEMBER_EXTERNAL_ID": "agreed"},
        "MEMBER_ROLE_NAME is missing, and MEMBER_EXTERNAL_ID means nothing without it",
    ),
}


@pytest.mark.parametrize(("settings", "says"), HALVES.values(), ids=HALVES)
def test_a_variable_without_the_one_that_it_needs_is_named_with_that(settings, says, bootstrap):
    code, said = run_alone(bootstrap, {**harness.own_environment(LOOPBACK), **settings})
    assert code != 0
    assert says in said


def test_all_wrong_variables_are_named_at_once(bootstrap):
    wrong = {
        "RESPONDER_MODE": "off",
        "RESPONDER_MOD": "dry_run",
        "AWS_REGION": "",
        "AWS_ACCESS_KEY_ID": "",
        "PROTECTED_BUCKETS": "A",
        "ALLOWED_ACCOUNT": "111122223333",
        "MEMBER_ROLE_NAME": "a role",
        "MEMBER_EXTERNAL_ID": "?",
        "SEARCH_REGIONS": "mars-east-1",
        "VERIFY_FOR": "ever",
        "MAX_KEYS_PER_ALERT": "all",
    }
    code, said = run_alone(bootstrap, {**harness.own_environment("http://192.0.2.1"), **wrong})
    assert code != 0
    endpoints = ["AWS_ENDPOINT_URL_LIGHTSAIL", "AWS_ENDPOINT_URL_STS", "http://192.0.2.1"]
    for part in [*wrong, "ALLOWED_ACCOUNTS is missing", *endpoints]:
        assert part in said


@pytest.mark.parametrize("missing", ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_a_missing_variable_is_named(missing, bootstrap):
    environment = harness.own_environment(LOOPBACK)
    del environment[missing]
    code, said = run_alone(bootstrap, environment)
    assert code != 0
    assert f"{missing} is missing" in said


def test_a_function_that_did_not_start_acts_on_nothing_and_says_so_to_lambda(lightsail, start):
    lightsail.seed("us-east-1", alerts.BUCKET, [alerts.KEY])
    function = start(RESPONDER_MODE="dry")
    answer = function.invoke(alerts.by_hand())
    assert answer.error_type is not None
    assert lightsail.requests() == []
    assert "RESPONDER_MODE is" in function.log()


def run_alone(bootstrap, environment):
    """Runs the function without any Lambda around it; returns its exit code and all that it says."""
    done = subprocess.run(
        [bootstrap], env=harness.child_environment(environment), capture_output=True, text=True, timeout=10, check=False
    )
    return done.returncode, (done.stdout + done.stderr).replace('\\"', '"')
