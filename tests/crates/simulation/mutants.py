"""Breaks the function in ways that a change could, and shows that the simulation finds each: `make mutants`.

Each mutant is a copy of the sources with one text replaced. It must build, and the incidents of the tests must break the
rule that is named here. The table has the first seed that does: `make simulate SEED=N` with the mutant replays it.
`--only NAME` takes one mutant instead of all.
"""

import argparse
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

GONE = "success means that the key is gone"


@dataclass(frozen=True)
class Mutant:
    name: str
    file: str
    old: str
    new: str
    rule: str


MUTANTS = [
    Mutant(
        "believe the operation without reading back",
        "src/respond/confirm.rs",
        "    verify(&lightsail.in_region(&visit.target.region, deadline), visit, key, pauses, clock).await;\n",
        "    let _ = (key, pauses, clock);\n    visit.verification = None;\n    visit.listing = Some(Listing::NotListed);\n",
        "absence was verified",
    ),
    Mutant(
        "take a bucket that is not found for one without the key",
        "src/respond/locate.rs",
        "Err(failure) if failure.kind == FailureKind::NotFound => Look::NoBucket(failure),",
        "Err(failure) if failure.kind == FailureKind::NotFound => Look::NotListed,",
        GONE,
    ),
    Mutant(
        "delete the sibling",
        "src/aws/lightsail.rs",
        ".access_key_id(key.as_str())",
        '.access_key_id(key.as_str().replace("IOSFODNN7", "I44QH8DHB"))',
        "no other key is deleted",
    ),
    Mutant(
        "drop the record",
        "src/audit.rs",
        "        self.write(verdict.outcome.log_level(), record.message(), Some(&record), metrics);\n",
        "        let _ = metrics;\n",
        "there is exactly one record per key",
    ),
    Mutant(
        "call every search complete",
        "src/case.rs",
        "        self.unread.is_empty() && !self.ended_early\n",
        "        true\n",
        GONE,
    ),
    Mutant(
        "read only the first page of buckets",
        "src/respond/sweep.rs",
        "Some((stream::iter(buckets), next.map(Some)))",
        "Some((stream::iter(buckets), next.filter(|_| false).map(Some)))",
        GONE,
    ),
    Mutant(
        "take an accepted delete for a sighting",
        "src/respond/verdict.rs",
        "Some(Listing::NotListed) if sighted && succeeded => Finding::Settled(Outcome::Revoked),",
        "Some(Listing::NotListed) if succeeded => Finding::Settled(Outcome::Revoked),",
        GONE,
    ),
    Mutant(
        "read the keys before the delete",
        "src/respond/key.rs",
        "            self.delete(lightsail, visit, task).await;\n            return;\n",
        "            note_look(lightsail, visit, task).await;\n"
        "            self.delete(lightsail, visit, task).await;\n            return;\n",
        "the delete is the first request",
    ),
    Mutant(
        "reserve no time for the record",
        "src/deadline.rs",
        "const RESERVE: Duration = Duration::from_secs(1);",
        "const RESERVE: Duration = Duration::from_millis(1);",
        "the answer comes at least 500 ms before the deadline",
    ),
    Mutant(
        "forget that a delete was sent",
        "src/aws/transmission.rs",
        "self.0.sent.load(Ordering::Relaxed) > self.0.refused.load(Ordering::Relaxed)",
        "self.0.sent.load(Ordering::Relaxed) > u32::MAX - 1",
        "an error after a delete reports that it may have taken effect",
    ),
    Mutant(
        "never retry",
        "src/aws/retry.rs",
        ".with_max_attempts(timeouts.max_attempts)",
        ".with_max_attempts(1)",
        "transient faults are overcome",
    ),
    Mutant(
        "answer every invocation with success",
        "src/respond.rs",
        "let Some(error_type) = worst.and_then(Outcome::error_type) else {",
        "let Some(error_type) = worst.and_then(Outcome::error_type).filter(|_| false) else {",
        "Lambda gets an error exactly if an outcome is an error",
    ),
    Mutant(
        "poll without growing pauses",
        "src/deadline.rs",
        "self.next = (self.next * 3 / 2).min(self.longest);",
        "self.next = self.next.min(self.longest);",
        "the number of requests is bounded",
    ),
    Mutant(
        "use a session beyond its expiry",
        "src/respond/accounts.rs",
        "session.expires > self.members.clock.now() + deadline.left()",
        "session.expires > DateTime::UNIX_EPOCH",
        "no session is used beyond its expiry",
    ),
    Mutant(
        "record a verification beside an incomplete search",
        "src/audit/record.rs",
        "visit.filter(|_| !incomplete).and_then(verification)",
        "visit.filter(|_| !incomplete || true).and_then(verification)",
        "an existing key is not reported as absent",
    ),
    Mutant(
        "record the account of the alert instead of the key's",
        "src/audit/record.rs",
        "visit.map_or(&case.account, |visit| &visit.target.account)",
        "&case.account",
        "the record of a key that was seen names its account, Region and bucket",
    ),
    Mutant(
        "blame the own account for what a member account refused",
        "src/respond/locate.rs",
        "let place = Place { account: id.clone(), region: Some(region.clone()), bucket: None };",
        'let place = Place { account: "012345678912".parse().ok(), region: Some(region.clone()), bucket: None };',
        "what was not read belongs to a call in its account and Region",
    ),
    Mutant(
        "search accounts that the alert does not concern",
        "src/respond/accounts.rs",
        "        if let Some(owner) = &exposure.owner {\n",
        "        if let Some(owner) = exposure.owner.as_ref().filter(|owner| Some(*owner) != own) {\n",
        "only accounts of the alert are called",
    ),
    Mutant(
        "delete the sibling in the member account only",
        "src/aws/lightsail.rs",
        ".access_key_id(key.as_str())",
        '.access_key_id(key.as_str().replace("IOSFODNN7MEMBERK", "I44QH8DHBMEMBERK"))',
        "no other key is deleted",
    ),
    Mutant(
        "give only one failed message back to SQS",
        "src/respond.rs",
        "        response.batch_item_failures.push(failure);\n",
        "        response.batch_item_failures = vec![failure];\n",
        "SQS gets back exactly the messages with a failed record",
    ),
    Mutant(
        "stop the search at the first unread Region",
        "src/respond/sweep.rs",
        "        join_all(lanes).await;\n    }\n\n    /// Asks",
        "        for (lane, region) in lanes.zip(regions) {\n            lane.await;\n"
        "            let mut parts = accounts.iter().filter_map(|account| self.part(account, region));\n"
        "            if parts.any(|part| !part.unread.is_empty()) {\n                break;\n            }\n        }\n"
        "    }\n\n    /// Asks",
        "a key in a Region that answered is found",
    ),
    Mutant(
        "count a refusal as absence",
        "src/case.rs",
        "        self.incomplete.insert(place.account.clone());\n",
        "        if failure.refuses_caller() {\n            return;\n        }\n"
        "        self.incomplete.insert(place.account.clone());\n",
        GONE,
    ),
    Mutant(
        "use connections from before a freeze",
        "src/aws/connections.rs",
        "let reusable = (now - current.used).to_std().is_ok_and(|idle| idle <= MAX_IDLE);",
        "let reusable = now >= DateTime::UNIX_EPOCH;",
        "no connection from before a freeze is used",
    ),
    Mutant(
        "take a lost Region for one without Lightsail",
        "src/respond/sweep.rs",
        "                    part.unread.push((None, failure));\n",
        "                    let _ = failure;\n",
        GONE,
    ),
    Mutant(
        "take what a silent Region was not asked for as read",
        "src/respond/sweep.rs",
        "                Err(failure) => (vec![Err(failure)], None),\n",
        "                Err(failure) if failure.attempts == 0 => (Vec::new(), None),\n"
        "                Err(failure) => (vec![Err(failure)], None),\n",
        GONE,
    ),
    Mutant(
        "take a disabled Region that the alert names for one to leave out",
        "src/respond/locate.rs",
        "&& region != self.own && !self.named.contains(region)",
        "&& region != self.own",
        "only a disabled Region that the alert does not name is told as not enabled",
    ),
    Mutant(
        "search only Regions that the build knows",
        "src/respond/locate.rs",
        "let new = listed.as_ref().map_or_else(|_| Vec::new(), |listed| regions.new_among(listed));",
        "let new: Vec<Region> = Vec::new();",
        GONE,
    ),
    Mutant(
        "delete from a protected bucket that the search found",
        "src/respond/key.rs",
        "visit.protection = self.policy.protection(&visit.target.bucket, &bucket.tags);",
        "visit.protection = self.policy.protection(&visit.target.bucket, &[]);",
        "no delete is sent to a protected bucket that was searched",
    ),
]


def copy_sources(tree: Path) -> None:
    """A copy of what git tracks or would track, so that the checkout stays as it is."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        source, target = ROOT / name, tree / name
        if source.is_file() and (not target.is_file() or target.read_bytes() != source.read_bytes()):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def find(mutant: Mutant | None, tree: Path, build: Path, incidents: int) -> tuple[int, str]:
    """Builds the copy, with the mutant if there is one, and plays the incidents: exit code and output."""
    file = tree / mutant.file if mutant else None
    original = file.read_text() if file else ""
    if file and original.count(mutant.old) != 1:
        sys.exit(f"{mutant.file} does not have exactly once: {mutant.old!r}")
    try:
        if file:
            file.write_text(original.replace(mutant.old, mutant.new))
        command = ["cargo", "build", "--quiet", "--locked", "--workspace", "--bins", "--target-dir", str(build)]
        built = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
        if built.returncode != 0:
            sys.exit(f"{mutant.name if mutant else 'the original'} does not build:\n{built.stderr}")
        simulate = [str(build / "debug/simulate"), "--sequences", str(incidents)]
        done = subprocess.run(simulate, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout
    finally:
        if file:
            file.write_text(original)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=Path, required=True, help="directory for the copy and its build")
    parser.add_argument("--incidents", type=int, default=1_500)
    parser.add_argument("--only", action="append", metavar="NAME", help="a mutant by its name; repeatable (all)")
    options = parser.parse_args()
    mutants = [mutant for mutant in MUTANTS if options.only is None or mutant.name in options.only]
    if options.only and len(mutants) < len(set(options.only)):
        parser.error(f"the names are: {'; '.join(mutant.name for mutant in MUTANTS)}")
    target = options.target.resolve()
    tree, build = target / "tree", target / "build"
    copy_sources(tree)
    code, output = find(None, tree, build, options.incidents)
    if code != 0:
        sys.exit(f"the original breaks a rule:\n{output[:4000]}")
    survivors = 0
    for mutant in mutants:
        _, output = find(mutant, tree, build, options.incidents)
        found = re.findall(rf"^  {re.escape(mutant.rule)}: \d+ incidents, make simulate SEED=(\d+)$", output, re.M)
        survivors += not found
        print(f"{mutant.name:62} {'seed ' + found[0] if found else 'SURVIVES':12} {mutant.rule}", flush=True)
    print(f"{len(mutants) - survivors} of {len(mutants)} mutants found in {options.incidents} incidents")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
