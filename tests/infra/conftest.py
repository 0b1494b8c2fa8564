"""What the tests of the deployment share: the template as written and as CloudFormation gets it, and the code."""

import copy
import json
import os
import re
import time
from pathlib import Path

import pytest
from samcli.lib.intrinsic_resolver.intrinsic_property_resolver import IntrinsicResolver
from samcli.lib.intrinsic_resolver.intrinsics_symbol_table import IntrinsicsSymbolTable
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).resolve().parents[2]

# The account of events/*.json: the one that AWS's Lambda runtime emulator puts into the function's ARN.
ACCOUNT = "012345678912"
REGION = "us-east-1"


class NoManagedPolicies:
    """SAM looks up the ARNs of managed policies by name; this template must do without them."""

    def load(self):
        return {}


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def template():
    """template.yaml as it is written."""
    return yaml_parse((ROOT / "template.yaml").read_text())


@pytest.fixture(scope="session")
def cloudformation(template):
    """What AWS SAM makes of the template: plain CloudFormation."""
    packaged = copy.deepcopy(template)
    # As `sam package` leaves it.
    packaged["Resources"]["ResponderFunction"]["Properties"]["CodeUri"] = "s3://bucket/key"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        return transform(packaged, {}, NoManagedPolicies())


@pytest.fixture(scope="session")
def resources(cloudformation):
    """All resources of one type, by logical ID."""

    def of_type(kind):
        found = cloudformation["Resources"].items()
        return {name: resource["Properties"] for name, resource in found if resource["Type"] == kind}

    return of_type


@pytest.fixture(scope="session")
def resolved(cloudformation):
    """Any part of the template as a deployment with these parameters has it; what only AWS knows, by its logical ID."""

    def deployed(part, **parameters):
        values = {"AWS::AccountId": ACCOUNT, "AWS::Region": REGION, **parameters}
        symbols = IntrinsicsSymbolTable(template=cloudformation, logical_id_translator=values)
        resolver = IntrinsicResolver(template=cloudformation, symbol_resolver=symbols)
        return resolver.intrinsic_property_resolver(copy.deepcopy(part), False)

    return deployed


@pytest.fixture(scope="session")
def patterns(resources, resolved):
    """The rules' event patterns by logical ID, as a deployment with these parameters has them."""

    def deployed(**parameters):
        rules = resources("AWS::Events::Rule").items()
        return {name: resolved(rule["EventPattern"], **parameters) for name, rule in rules}

    return deployed


@pytest.fixture(scope="session")
def code():
    """What `expression` finds in a source file: one match, or the test has lost its grip on the code."""

    def find(file, expression):
        found = re.findall(expression, (ROOT / "src" / file).read_text(), re.DOTALL)
        assert len(found) == 1, f"{expression!r} matches {len(found)} times in src/{file}"
        return found[0]

    return find


@pytest.fixture
def sam_environment(tmp_path):
    """A bare environment for `sam`, in which it speaks to nobody."""
    # SAM asks a package registry for its newest version once a week; this says that it has just done so.
    (tmp_path / "metadata.json").write_text(json.dumps({"lastVersionCheck": time.time()}))
    settings = {"SAM_CLI_TELEMETRY": "0", "AWS_EC2_METADATA_DISABLED": "true", "__SAM_CLI_APP_DIR": str(tmp_path)}
    return {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **settings}


@pytest.fixture(scope="session")
def artefact():
    """The release binary."""
    path = os.environ.get("RESPONDER_ARTEFACT")
    assert path, "RESPONDER_ARTEFACT must name the release binary: run `make test-infra`"
    return Path(path)
