"""What parliament finds in the policies on standard input, as JSON. Runs with the checkers' Python."""

import json
import sys

import parliament

findings = {}
for name, policy in json.load(sys.stdin).items():
    # Every finding counts, whatever severity parliament gives it.
    analysed = parliament.analyze_policy_string(json.dumps(policy), ignore_private_auditors=True)
    findings[name] = [{"issue": finding.issue, "detail": finding.detail} for finding in analysed.findings]
json.dump(findings, sys.stdout)
