//! Choices -> an alert of one source in the source's own shape, with keys in its key fields and decoys, which look the
//! same, everywhere else.
//!
//! Written from each vendor's documentation and not from the parsers. Invariant: a decoy is only in a field where the
//! source puts something else: a caller, a tag, a name, free text.

use serde_json::{Map, Value, json};

/// Stream of bytes, one for each choice. After its end, the first choice is taken, so that proptest can shrink cases.
#[derive(Clone)]
pub(crate) struct Choices(std::vec::IntoIter<u8>);

impl Choices {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes.into_iter())
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::from(self.0.next().unwrap_or(0)) % end
    }

    pub(crate) fn yes(&mut self) -> bool {
        self.below(2) == 1
    }

    pub(crate) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// Generator of the key IDs of one delivery. They are distinct, and their letters depend on the seed.
pub(crate) struct Names {
    seed: u64,
    made: usize,
    pub(crate) decoys: Vec<String>,
}

impl Names {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, made: 0, decoys: Vec::new() }
    }

    pub(crate) fn key(&mut self) -> String {
        const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        self.made += 1;
        let letter = |place: u32| char::from(LETTERS[(self.seed >> (place * 5)) as usize % 32]);
        format!("AKIA{}{:04}", (0..12).map(letter).collect::<String>(), self.made)
    }

    fn decoy(&mut self) -> String {
        let decoy = self.key();
        self.decoys.push(decoy.clone());
        decoy
    }
}

/// An alert and its expected parse result.
#[derive(Clone, Debug)]
pub(crate) struct Alert {
    pub(crate) source: &'static str,
    pub(crate) payload: Value,
    pub(crate) keys: Vec<String>,
    pub(crate) buckets: Vec<String>,
    /// Account and Region of the owner, if the source has them.
    pub(crate) owner: Option<(String, String)>,
    /// True for a manual event, in which an unknown field is an error.
    pub(crate) manual: bool,
}

const ACCOUNT: &str = "111122223333";
const REGION: &str = "eu-west-1";

/// Generators of alerts that expose one to three keys each. The last two expose none.
const SOURCES: [fn(&mut Choices, &mut Names) -> Alert; 11] = [
    manual,
    guardduty,
    attack_sequence,
    health,
    trusted_advisor,
    security_hub,
    ocsf,
    github,
    trufflehog,
    cloudtrail,
    gitguardian,
];

/// Generates an alert of any source.
pub(crate) fn any(choices: &mut Choices, names: &mut Names) -> Alert {
    choices.of(&SOURCES)(choices, names)
}

fn keys(choices: &mut Choices, names: &mut Names) -> Vec<String> {
    (0..=choices.below(3)).map(|_| names.key()).collect()
}

fn buckets(choices: &mut Choices) -> Vec<String> {
    (0..choices.below(3)).map(|number| format!("{}-{number}", choices.of(&["photos", "logs", "a0"]))).collect()
}

fn event(source: &str, detail_type: &str, detail: Value, choices: &mut Choices) -> Value {
    let detail = if choices.below(8) == 7 { Value::String(detail.to_string()) } else { detail };
    let mut event = json!({
        "version": "0", "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718", "detail-type": detail_type, "source": source,
        "account": "999999999999", "time": "2026-11-24T03:00:00Z", "region": "us-west-2", "resources": [], "detail": detail
    });
    if choices.below(4) == 3 {
        event["replay-name"] = json!("replay");
    }
    event
}

/// Puts the detail into an event in half of the cases.
fn bare_or_event(source: &str, detail_type: &str, detail: Value, choices: &mut Choices) -> Value {
    if choices.yes() { event(source, detail_type, detail, choices) } else { detail }
}

fn manual(choices: &mut Choices, names: &mut Names) -> Alert {
    let (keys, buckets) = (keys(choices, names), buckets(choices));
    let mut object = json!({"accessKeyId": keys, "reason": format!("not {}, which is another", names.decoy())});
    if keys.len() == 1 && choices.yes() {
        object["accessKeyId"] = json!(keys[0]);
    }
    let buckets: Vec<String> = buckets.into_iter().take(1).collect();
    if let [bucket] = &buckets[..] {
        object["bucketName"] = json!(bucket);
    }
    let payload = bare_or_event("example.scanner", "Lightsail Bucket Access Key Exposed", object, choices);
    Alert { source: "manual", payload, keys, buckets, owner: None, manual: true }
}

fn guardduty(choices: &mut Choices, names: &mut Names) -> Alert {
    let (key, buckets) = (names.key(), buckets(choices));
    let kind = choices.of(&[
        "UnauthorizedAccess:IAMUser/MaliciousIPCaller",
        "CredentialAccess:IAMUser/CompromisedCredentials",
        "Exfiltration:S3/AnomalousBehavior",
        "Impact:IAMUser/CostHarvesting",
    ]);
    let details = |name: &String, names: &mut Names| {
        let tags = json!([{"key": names.decoy(), "value": names.decoy()}]);
        json!({"name": name, "arn": format!("arn:aws:s3:::{name}"), "type": "Destination", "tags": tags,
               "owner": {"id": names.decoy()}, "s3ObjectDetails": [{"eTag": names.decoy(), "key": names.decoy()}]})
    };
    let s3: Vec<Value> = buckets.iter().map(|name| details(name, names)).collect();
    let finding = json!({
        "schemaVersion": "2.0", "accountId": ACCOUNT, "region": REGION, "partition": "aws", "id": names.decoy(),
        "arn": "arn:aws:guardduty:eu-west-1:111122223333:detector/d/finding/f", "type": kind, "severity": 8,
        "title": format!("Key {} was used", names.decoy()), "description": names.decoy(), "createdAt": "yesterday",
        "updatedAt": "2026-11-24T02:58:00.000Z",
        "resource": {
            "resourceType": "AccessKey", "s3BucketDetails": s3,
            "accessKeyDetails": {"accessKeyId": key, "userName": names.decoy(), "principalId": names.decoy(), "userType": "IAMUser"}
        },
        "service": {
            "serviceName": "guardduty", "archived": false, "count": 1, "eventLastSeen": "2026-11-24T02:57:00Z",
            "additionalInfo": {"value": json!({"key": names.decoy()}).to_string(), "type": "default"},
            "action": {"actionType": "AWS_API_CALL", "awsApiCallAction": {
                "api": "GetObject", "affectedResources": {"AWS::IAM::AccessKey": names.decoy()},
                "remoteAccountDetails": {"accessKeyId": names.decoy()}
            }}
        }
    });
    // The CLI's casing, which tools put into events.
    let finding = if choices.below(4) == 3 { capitalised(finding) } else { finding };
    let payload = bare_or_event("aws.guardduty", "GuardDuty Finding", finding, choices);
    Alert { source: "GuardDuty", payload, keys: vec![key], buckets, owner: owner(), manual: false }
}

fn attack_sequence(choices: &mut Choices, names: &mut Names) -> Alert {
    let (keys, buckets) = (keys(choices, names), buckets(choices));
    let mut actors =
        vec![json!({"id": names.decoy(), "user": {"name": names.decoy(), "uid": names.decoy(), "type": "Root"},
                                 "session": {"uid": names.decoy()}})];
    let mut resources = vec![json!({
        "uid": "arn:aws:s3:::other/object", "name": "object", "resourceType": "S3_OBJECT", "accountId": ACCOUNT,
        "data": {"s3Object": {"key": names.decoy(), "eTag": names.decoy()}}
    })];
    resources[0]["uid"] =
        json!(format!("arn:aws:s3:::{}/object", buckets.first().map_or("not_a_name", String::as_str)));
    for key in &keys {
        let data =
            json!({"accessKey": {"principalId": names.decoy(), "userName": names.decoy(), "userType": "IAMUser"}});
        match choices.below(3) {
            0 => resources.push(json!({"uid": key, "name": key, "resourceType": "ACCESS_KEY", "data": data})),
            1 => resources.push(json!({"uid": "resource-1", "name": key, "resourceType": "ACCESS_KEY", "data": data})),
            _ => actors.push(json!({"id": "a", "user": {"name": names.decoy(), "uid": "u", "credentialUid": key}})),
        }
    }
    for name in &buckets {
        resources.push(json!({"uid": format!("arn:aws:s3:::{name}"), "name": name, "resourceType": "S3_BUCKET",
                              "tags": [{"key": "k", "value": names.decoy()}]}));
    }
    let finding = json!({
        "accountId": ACCOUNT, "region": REGION, "id": "f", "type": "AttackSequence:S3/CompromisedData", "severity": 9.5,
        "title": names.decoy(), "updatedAt": "2026-11-24T02:58:00.000Z", "resource": {"resourceType": "AttackSequence"},
        "service": {"featureName": "Correlation", "archived": false, "additionalInfo": {}, "detection": {"sequence": {
            "uid": "s", "description": names.decoy(), "actors": actors, "resources": resources,
            "endpoints": [{"id": names.decoy()}],
            "signals": [{"uid": names.decoy(), "signalIndicators": [{"key": "HIGH_RISK_API", "values": [names.decoy()]}]}]
        }}}
    });
    let payload = bare_or_event("aws.guardduty", "GuardDuty Finding", finding, choices);
    Alert { source: "attack sequence", payload, keys, buckets, owner: owner(), manual: false }
}

fn health(choices: &mut Choices, names: &mut Names) -> Alert {
    let keys = keys(choices, names);
    let code = choices.of(&[
        "AWS_RISK_CREDENTIALS_EXPOSED",
        "AWS_RISK_CREDENTIALS_COMPROMISE_SUSPECTED",
        "AWS_RISK_IAM_QUARANTINE",
    ]);
    let entities: Vec<Value> = keys.iter().map(|key| json!({"entityValue": key, "entityUrl": names.decoy()})).collect();
    let detail = json!({
        "eventArn": format!("arn:aws:health:us-east-1::event/RISK/{code}/{}", names.decoy()), "service": "RISK",
        "eventTypeCode": code, "eventTypeCategory": "issue", "communicationId": names.decoy(), "statusCode": "open",
        "eventRegion": "us-east-1", "startTime": "Wed, 12 Feb 2025 00:37:54 GMT",
        "eventDescription": [{"language": "en_US", "latestDescription": format!("Not {}", names.decoy())}],
        "eventMetadata": {"publicKey": keys[0], "userName": names.decoy(), "exposedUrl": names.decoy()},
        "affectedEntities": entities, "affectedAccount": ACCOUNT, "page": "1", "totalPages": "1"
    });
    let payload = match choices.below(3) {
        0 => detail,
        1 => event("aws.health", "AWS Health Abuse Event", detail, choices),
        _ => {
            let mut event = event("aws.health", "AWS Health Event", detail, choices);
            event["resources"] = json!(keys);
            event
        }
    };
    Alert { source: "Health", payload, keys, buckets: Vec::new(), owner: None, manual: false }
}

fn trusted_advisor(choices: &mut Choices, names: &mut Names) -> Alert {
    let key = names.key();
    let detail = json!({
        "check-name": "Exposed Access Keys", "status": "ERROR", "resource_id": names.decoy(), "uuid": names.decoy(),
        "check-item-detail": {
            "Access Key ID": key, "User Name (IAM or Root)": names.decoy(), "Fraud Type": "Exposed",
            "Case ID": names.decoy(), "Location": names.decoy(), "Deadline": "1440453299248", "Time Updated": "1440021299248"
        }
    });
    let payload =
        bare_or_event("aws.trustedadvisor", "Trusted Advisor Check Item Refresh Notification", detail, choices);
    Alert { source: "Trusted Advisor", payload, keys: vec![key], buckets: Vec::new(), owner: None, manual: false }
}

fn security_hub(choices: &mut Choices, names: &mut Names) -> Alert {
    let (keys, buckets) = (keys(choices, names), buckets(choices));
    let mut resources = vec![
        json!({"Type": "AwsIamUser", "Id": names.decoy(), "Region": REGION, "Tags": {"key": names.decoy()}}),
        json!({"Type": "AwsS3Object", "Id": "arn:aws:s3:::Not.Lightsail/o", "Details": {"AwsS3Object": {"ETag": names.decoy()}}}),
        json!({"Type": "Other", "Id": format!("AWS::IAM::AccessKey:{}", names.decoy()), "Details": {"Other": {"AccessKeyId": names.decoy()}}}),
    ];
    for key in &keys {
        let kind = choices.of(&["AwsIamAccessKey", "AWSIAMAccessKey", "AWS::IAM::AccessKey"]);
        let mut details = json!({"AwsIamAccessKey": {"PrincipalId": names.decoy(), "PrincipalName": names.decoy()}});
        let id = match choices.below(3) {
            0 => format!("AWS::IAM::AccessKey:{key}"),
            1 => key.clone(),
            _ => {
                details["AwsIamAccessKey"]["AccessKeyId"] = json!(key);
                "arn:aws:iam::111122223333:user/someone".to_owned()
            }
        };
        resources.insert(0, json!({"Type": kind, "Id": id, "Partition": "aws", "Region": REGION, "Details": details}));
    }
    for name in &buckets {
        resources
            .push(json!({"Type": "AwsS3Bucket", "Id": format!("arn:aws:s3:::{name}"), "Tags": {"t": names.decoy()}}));
    }
    let finding = json!({
        "SchemaVersion": "2018-10-08", "AwsAccountId": ACCOUNT, "Region": REGION, "Id": names.decoy(),
        "ProductArn": "arn:aws:securityhub:eu-west-1::product/aws/guardduty", "ProductName": "GuardDuty", "GeneratorId": "g",
        "Types": [choices.of(&["TTPs/UnauthorizedAccess:IAMUser-MaliciousIPCaller", "TTPs/Discovery/IAMUser-AnomalousBehavior"])],
        "Title": names.decoy(), "Description": format!("Not {}", names.decoy()), "Sample": false, "RecordState": "ACTIVE",
        "Workflow": {"Status": "NEW"}, "Severity": {"Label": "HIGH", "Normalized": 70}, "UpdatedAt": "2026-11-24T02:58:00Z",
        "Note": {"Text": names.decoy()}, "UserDefinedFields": {"key": names.decoy()},
        "ProductFields": {"aws/guardduty/service/action/awsApiCallAction/remoteAccountDetails": names.decoy()},
        "Resources": resources
    });
    let payload = match choices.below(3) {
        0 => finding,
        1 => event("aws.securityhub", "Security Hub Findings - Imported", json!({"findings": [finding]}), choices),
        _ => {
            let detail =
                json!({"actionName": names.decoy(), "actionDescription": names.decoy(), "findings": [finding]});
            event("aws.securityhub", "Security Hub Findings - Custom Action", detail, choices)
        }
    };
    Alert { source: "Security Hub", payload, keys, buckets, owner: owner(), manual: false }
}

fn ocsf(choices: &mut Choices, names: &mut Names) -> Alert {
    let (keys, buckets) = (keys(choices, names), buckets(choices));
    let account = json!({"account": {"uid": ACCOUNT}});
    let mut resources =
        vec![json!({"type": "AWS::IAM::User", "uid": names.decoy(), "name": names.decoy(), "region": REGION})];
    for key in &keys {
        resources.push(json!({"type": "AWS::IAM::AccessKey", "uid": key, "region": REGION, "owner": account,
                              "user": {"name": names.decoy(), "uid": names.decoy()}, "tags": [{"name": "t", "value": names.decoy()}]}));
    }
    for name in &buckets {
        resources.push(json!({"type": "AWS::S3::Bucket", "uid": format!("arn:aws:s3:::{name}"), "owner": account, "region": REGION}));
    }
    let finding = json!({
        "class_uid": 2004, "category_uid": 2, "activity_id": 1, "status": "New", "severity": "High", "severity_id": 4,
        "metadata": {"version": "1.6.0", "uid": names.decoy(),
                     "product": {"name": "GuardDuty", "uid": "arn:aws:securityhub:eu-west-1::productv2/aws/guardduty"}},
        "finding_info": {"uid": names.decoy(), "title": names.decoy(), "desc": names.decoy(), "last_seen_time": 1_795_489_012_174_i64,
                         "types": ["Threats", "UnauthorizedAccess:IAMUser/MaliciousIPCaller"]},
        "cloud": {"provider": "AWS", "region": REGION, "account": {"uid": ACCOUNT}},
        "actor": {"user": {"credential_uid": names.decoy()}, "session": {"credential_uid": names.decoy()}},
        "observables": [{"name": "resources.uid", "value": names.decoy()}], "unmapped": {"key": names.decoy()},
        "resources": resources
    });
    let payload = if choices.yes() {
        event("aws.securityhub", "Findings Imported V2", json!({"findings": [finding]}), choices)
    } else {
        finding
    };
    Alert { source: "OCSF", payload, keys, buckets, owner: owner(), manual: false }
}

fn github(choices: &mut Choices, names: &mut Names) -> Alert {
    let key = names.key();
    let hook = json!({
        "action": choices.of(&["created", "reopened", "publicly_leaked"]),
        "alert": {"number": 7, "secret": key, "secret_type": "aws_access_key_id", "secret_type_display_name": names.decoy(),
                  "html_url": names.decoy(), "state": "open", "validity": "active", "created_at": "2026-11-24T02:58:00Z",
                  "metadata": [{"key": names.decoy(), "value": names.decoy()}]},
        "repository": {"full_name": names.decoy(), "description": names.decoy()}, "organization": {"login": names.decoy()},
        "sender": {"login": names.decoy()}
    });
    let payload = bare_or_event("github.com", "secret_scanning_alert", hook, choices);
    Alert { source: "GitHub", payload, keys: vec![key], buckets: Vec::new(), owner: None, manual: false }
}

fn trufflehog(choices: &mut Choices, names: &mut Names) -> Alert {
    let key = names.key();
    let raw = if choices.yes() { base64(&key) } else { key.clone() };
    let found = json!({
        "SourceMetadata": {"Data": {"Git": {"commit": names.decoy(), "file": names.decoy(), "email": names.decoy()}}},
        "SourceName": "trufflehog - git", "DetectorType": 2, "DetectorName": "AWS", "DecoderName": "PLAIN", "Verified": true,
        "Raw": raw, "RawV2": format!("{}:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", names.decoy()), "Redacted": key,
        "ExtraData": {"account": ACCOUNT, "arn": names.decoy(), "user_id": names.decoy(), "message": names.decoy()},
        "StructuredData": null
    });
    let payload = bare_or_event("example.trufflehog", "finding", found, choices);
    Alert { source: "TruffleHog", payload, keys: vec![key], buckets: Vec::new(), owner: None, manual: false }
}

fn cloudtrail(choices: &mut Choices, names: &mut Names) -> Alert {
    let record = json!({
        "eventVersion": "1.09", "eventID": "e", "eventTime": "2026-11-24T02:58:00Z", "awsRegion": REGION,
        "eventSource": "iam.amazonaws.com", "eventName": "AttachUserPolicy", "recipientAccountId": ACCOUNT,
        "userIdentity": {"type": "IAMUser", "accessKeyId": names.decoy(), "userName": names.decoy()},
        "requestParameters": {"userName": names.decoy(), "accessKeyId": names.decoy(), "bucketName": "photos"},
        "responseElements": {"accessKey": {"accessKeyId": names.decoy()}}
    });
    let payload = bare_or_event("aws.iam", "AWS API Call via CloudTrail", record, choices);
    Alert { source: "CloudTrail", payload, keys: Vec::new(), buckets: Vec::new(), owner: None, manual: false }
}

fn gitguardian(choices: &mut Choices, names: &mut Names) -> Alert {
    let hook = json!({
        "source": "GitGuardian", "timestamp": "2026-11-24T02:58:00Z", "action": "incident_triggered", "message": names.decoy(),
        "target_user": names.decoy(), "incident": {
            "id": 7, "date": "2026-11-24T02:58:00Z", "detector": {"name": "aws_iam", "display_name": "AWS Keys"},
            "secret_hash": names.decoy(), "hmsl_hash": names.decoy(), "gitguardian_url": names.decoy(), "status": "triggered"
        }
    });
    let payload = bare_or_event("example.gitguardian", "incident", hook, choices);
    Alert { source: "GitGuardian", payload, keys: Vec::new(), buckets: Vec::new(), owner: None, manual: false }
}

fn owner() -> Option<(String, String)> {
    Some((ACCOUNT.to_owned(), REGION.to_owned()))
}

fn capitalised(value: Value) -> Value {
    let name = |name: String| name[..1].to_uppercase() + &name[1..];
    match value {
        Value::Object(fields) => Value::Object(
            fields.into_iter().map(|(field, value)| (name(field), capitalised(value))).collect::<Map<_, _>>(),
        ),
        Value::Array(values) => Value::Array(values.into_iter().map(capitalised).collect()),
        other => other,
    }
}

/// Encodes without the crate whose decoder is under test.
fn base64(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for group in text.as_bytes().chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, place| (bits << 8) | usize::from(*group.get(place).unwrap_or(&0)));
        for place in 0..4 {
            let known = place <= group.len();
            encoded.push(if known { char::from(ALPHABET[(bits >> (18 - 6 * place)) & 63]) } else { '=' });
        }
    }
    encoded
}
