//! STS: who may assume a role, what its credentials open and for how long, and how STS refuses.

use std::{
    io,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use lightsail_simulator::{
    Fault, Operation,
    Operation::{AssumeRole, GetBuckets},
    Role, RoleError, Script, ScriptError, Seed, Settings, Simulator,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::client::{Answer, Client, control, read, send};

const THERE: &str = "111111111111";
const ROLE: &str = "arn:aws:iam::111111111111:role/revoker";

/// Credentials and how requests are signed with them.
#[derive(Clone)]
struct Caller {
    key: String,
    secret: String,
    token: Option<String>,
}

impl Caller {
    /// One of the default account.
    fn here() -> Self {
        Self { key: "AKIDEXAMPLE".into(), secret: "any".into(), token: None }
    }

    /// Whoever an answer of `AssumeRole` makes one.
    fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.body);
        let [key, secret, token] =
            ["AccessKeyId", "SecretAccessKey", "SessionToken"].map(|name| element(&answer.body, name));
        Self { key, secret, token: Some(token) }
    }

    fn signed(&self, simulator: &Simulator, service: &str, region: &str, body: &str) -> String {
        let (host, now) = (simulator.address(), Utc::now());
        let (time, date) = (now.format("%Y%m%dT%H%M%SZ").to_string(), now.format("%Y%m%d").to_string());
        let request = format!(
            "POST\n/\n\nhost:{host}\nx-amz-date:{time}\n\nhost;x-amz-date\n{}",
            hex::encode(Sha256::digest(body))
        );
        let scope = format!("{date}/{region}/{service}/aws4_request");
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex::encode(Sha256::digest(request)));
        let hmac = |key: &[u8], text: &str| {
            let mac = Hmac::<Sha256>::new_from_slice(key).map(|mac| mac.chain_update(text).finalize().into_bytes());
            mac.map(|bytes| bytes.to_vec()).unwrap_or_default()
        };
        let key = [date.as_str(), region, service, "aws4_request"]
            .iter()
            .fold(format!("AWS4{}", self.secret).into_bytes(), |key, part| hmac(&key, part));
        let token = self.token.as_ref().map(|token| format!("X-Amz-Security-Token: {token}\r\n")).unwrap_or_default();
        format!(
            "X-Amz-Date: {time}\r\n{token}Authorization: AWS4-HMAC-SHA256 Credential={}/{scope}, \
             SignedHeaders=host;x-amz-date, Signature={}\r\n",
            self.key,
            hex::encode(hmac(&key, &text))
        )
    }

    async fn form(&self, simulator: &Simulator, body: &str) -> io::Result<Answer> {
        let headers = self.signed(simulator, "sts", "eu-central-2", body);
        let headers = format!("Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n{headers}");
        read(&mut send(simulator.address(), "POST /", &headers, body).await?).await
    }

    async fn assume(&self, simulator: &Simulator, role: &str, rest: &str) -> io::Result<Answer> {
        self.form(simulator, &assuming(role, rest)).await
    }

    async fn buckets(&self, simulator: &Simulator) -> io::Result<Answer> {
        let headers = self.signed(simulator, "lightsail", "eu-west-1", "{}");
        let headers = format!(
            "Content-Type: application/x-amz-json-1.1\r\nX-Amz-Target: Lightsail_20161128.GetBuckets\r\n{headers}"
        );
        read(&mut send(simulator.address(), "POST /", &headers, "{}").await?).await
    }
}

fn assuming(role: &str, rest: &str) -> String {
    let role = role.replace(':', "%3A").replace('/', "%2F");
    format!("Action=AssumeRole&Version=2011-06-15&RoleArn={role}&RoleSessionName=test{rest}")
}

/// What the first element of this name says, and nothing if there is none.
fn element(xml: &str, name: &str) -> String {
    let rest = xml.split_once(&format!("<{name}>")).map(|(_, rest)| rest);
    let text = rest.and_then(|rest| rest.split_once(&format!("</{name}>"))).map(|(text, _)| text);
    text.unwrap_or_default().to_owned()
}

/// The status and the code of an error of STS, which has to be XML in every part.
fn error(answer: &Answer) -> (u16, String) {
    assert!(answer.head.contains("content-type: text/xml\r\n"), "{}", answer.head);
    assert!(answer.body.starts_with("<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"));
    let id = element(&answer.body, "RequestId");
    assert!(answer.head.contains(&format!("x-amzn-requestid: {id}\r\n")) && !answer.head.contains("errortype"));
    let side = if answer.status < 500 { "Sender" } else { "Receiver" };
    assert_eq!(element(&answer.body, "Type"), side);
    (answer.status, element(&answer.body, "Code"))
}

/// A simulator with a bucket in another account, and a role there.
async fn with(role: Role) -> io::Result<Simulator> {
    let simulator = Simulator::start().await?;
    simulator.seed(Seed::bucket("eu-west-1", "theirs").account(THERE)).map_err(io::Error::other)?;
    simulator.role(role).map_err(io::Error::other)?;
    Ok(simulator)
}

fn revoker() -> Role {
    Role::new(THERE, "revoker")
}

#[tokio::test]
async fn an_assumed_role_acts_in_its_own_account_until_its_session_ends() {
    let simulator = with(revoker().external_id("a:b/c")).await.unwrap();
    let before = Utc::now();
    let answer = Caller::here().assume(&simulator, ROLE, "&ExternalId=a%3Ab%2Fc&DurationSeconds=1800").await.unwrap();
    let assumed = Caller::of(&answer);
    assert!(answer.head.contains("content-type: text/xml\r\n"), "{}", answer.head);
    assert!(assumed.key.starts_with("ASIA") && assumed.key.len() == 20, "{}", assumed.key);
    let arn = "arn:aws:sts::111111111111:assumed-role/revoker/test";
    assert_eq!(element(&answer.body, "Arn"), arn);
    let user = element(&answer.body, "AssumedRoleId");
    assert!(user.starts_with("AROA") && user.ends_with(":test"), "{user}");
    let end: DateTime<Utc> = element(&answer.body, "Expiration").parse().unwrap();
    let lasts = end - before;
    assert!(lasts > TimeDelta::seconds(1798) && lasts < TimeDelta::seconds(1810), "{lasts}");

    let theirs = assumed.buckets(&simulator).await.unwrap().json();
    assert_eq!(theirs["buckets"][0]["name"], "theirs");
    assert_eq!(Caller::here().buckets(&simulator).await.unwrap().json(), json!({"buckets": []}));
    let accounts: Vec<String> = simulator.requests().into_iter().map(|seen| seen.account).collect();
    assert_eq!(accounts, [simulator.account(), THERE, simulator.account()]);
}

#[tokio::test]
async fn a_role_of_the_callers_own_account_works_just_the_same() {
    let simulator = Simulator::start().await.unwrap();
    simulator.seed(Seed::bucket("eu-west-1", "ours")).unwrap();
    let role = Role::new(simulator.account(), "revoker");
    simulator.role(role.clone()).unwrap();
    let assumed = Caller::of(&Caller::here().assume(&simulator, &role.arn(), "").await.unwrap());
    assert_eq!(assumed.buckets(&simulator).await.unwrap().json()["buckets"][0]["name"], "ours");
}

#[tokio::test]
async fn a_role_that_is_not_there_is_refused_in_the_same_words_as_one_without_its_external_id() {
    let simulator = with(revoker().external_id("right")).await.unwrap();
    let elsewhere = "arn:aws:iam::222222222222:role/revoker";
    for (role, rest) in [
        (ROLE, ""),
        (ROLE, "&ExternalId=wrong"),
        (ROLE, "&ExternalId=right2"),
        ("arn:aws:iam::111111111111:role/other", "&ExternalId=right"),
        ("arn:aws:iam::111111111111:role/path/revoker", "&ExternalId=right"),
        (elsewhere, "&ExternalId=right"),
    ] {
        let answer = Caller::here().assume(&simulator, role, rest).await.unwrap();
        assert_eq!(error(&answer), (403, "AccessDenied".to_owned()), "{role} {rest}");
        let message = format!(
            "User: arn:aws:iam::012345678912:user/simulated is not authorized to perform: sts:AssumeRole on resource: {role}"
        );
        assert_eq!(element(&answer.body, "Message"), message);
    }
    simulator.role(revoker()).unwrap();
    Caller::of(&Caller::here().assume(&simulator, ROLE, "&ExternalId=unasked").await.unwrap());
}

#[tokio::test]
async fn credentials_of_a_role_are_good_for_nothing_without_their_secret_and_their_token() {
    let simulator = with(revoker()).await.unwrap();
    let assumed = Caller::of(&Caller::here().assume(&simulator, ROLE, "").await.unwrap());
    let other = Caller::of(&Caller::here().assume(&simulator, ROLE, "").await.unwrap());
    assert!(assumed.key != other.key && assumed.secret != other.secret && assumed.token != other.token);
    for (caller, lightsail, sts) in [
        (Caller { secret: other.secret, ..assumed.clone() }, "InvalidSignatureException", "SignatureDoesNotMatch"),
        (Caller { token: other.token, ..assumed.clone() }, "UnrecognizedClientException", "InvalidClientTokenId"),
        (Caller { token: None, ..assumed.clone() }, "UnrecognizedClientException", "InvalidClientTokenId"),
    ] {
        let answer = caller.buckets(&simulator).await.unwrap();
        assert_eq!((answer.status, answer.error().as_deref()), (400, Some(lightsail)));
        assert_eq!(error(&caller.assume(&simulator, ROLE, "").await.unwrap()), (403, sts.to_owned()));
    }
    assert_eq!(assumed.buckets(&simulator).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_session_that_has_ended_is_refused_as_expired() {
    let simulator = with(revoker().lasts_seconds(1)).await.unwrap();
    let answer = Caller::here().assume(&simulator, ROLE, "&DurationSeconds=900").await.unwrap();
    let assumed = Caller::of(&answer);
    let end: DateTime<Utc> = element(&answer.body, "Expiration").parse().unwrap();
    assert!(end - Utc::now() <= TimeDelta::seconds(1), "{end}");
    tokio::time::sleep(Duration::from_millis(1050)).await;
    let late = assumed.buckets(&simulator).await.unwrap();
    assert_eq!((late.status, late.error().as_deref()), (400, Some("ExpiredTokenException")));
    assert_eq!(late.json()["message"], "The security token included in the request is expired");
    assert_eq!(error(&assumed.assume(&simulator, ROLE, "").await.unwrap()), (403, "ExpiredToken".to_owned()));

    simulator.role(revoker().lasts_seconds(0)).unwrap();
    let assumed = Caller::of(&Caller::here().assume(&simulator, ROLE, "").await.unwrap());
    assert_eq!(assumed.buckets(&simulator).await.unwrap().error().as_deref(), Some("ExpiredTokenException"));
}

#[tokio::test]
async fn a_session_can_assume_the_next_role_and_is_named_when_it_may_not() {
    let simulator = with(revoker()).await.unwrap();
    simulator.role(Role::new("222222222222", "next")).unwrap();
    simulator.seed(Seed::bucket("eu-west-1", "farther").account("222222222222")).unwrap();
    let first = Caller::of(&Caller::here().assume(&simulator, ROLE, "").await.unwrap());
    let second = first.assume(&simulator, "arn:aws:iam::222222222222:role/next", "").await.unwrap();
    let farther = Caller::of(&second).buckets(&simulator).await.unwrap().json();
    assert_eq!(farther["buckets"][0]["name"], "farther");
    let refused = first.assume(&simulator, "arn:aws:iam::222222222222:role/none", "").await.unwrap();
    let message = element(&refused.body, "Message");
    assert!(message.starts_with("User: arn:aws:sts::111111111111:assumed-role/revoker/test is not"), "{message}");
}

#[tokio::test]
async fn a_reset_forgets_roles_and_sessions() {
    let settings = Settings { secret_access_key: Some("any".into()), ..Settings::default() };
    let simulator = Simulator::start_with(settings).await.unwrap();
    simulator.role(revoker()).unwrap();
    let assumed = Caller::of(&Caller::here().assume(&simulator, ROLE, "").await.unwrap());
    simulator.reset();
    let refused = Caller::here().assume(&simulator, ROLE, "").await.unwrap();
    assert_eq!(error(&refused), (403, "AccessDenied".to_owned()));
    let refused = assumed.buckets(&simulator).await.unwrap();
    assert_eq!(refused.error().as_deref(), Some("InvalidSignatureException"));
}

#[tokio::test]
async fn the_secret_of_the_settings_is_asked_of_a_caller_who_assumes_a_role() {
    let settings = Settings { secret_access_key: Some("the secret".into()), ..Settings::default() };
    let simulator = Simulator::start_with(settings).await.unwrap();
    simulator.role(revoker()).unwrap();
    let refused = Caller::here().assume(&simulator, ROLE, "").await.unwrap();
    assert_eq!(error(&refused), (403, "SignatureDoesNotMatch".to_owned()));
    let right = Caller { secret: "the secret".into(), ..Caller::here() };
    let assumed = Caller::of(&right.assume(&simulator, ROLE, "").await.unwrap());
    assert_eq!(assumed.buckets(&simulator).await.unwrap().status, 200);
}

#[tokio::test]
async fn what_is_not_the_protocol_of_sts_is_refused_as_sts_does() {
    let simulator = with(revoker()).await.unwrap();
    let good = assuming(ROLE, "");
    for (body, code) in [
        (good.replace("AssumeRole", "GetCallerIdentity"), "InvalidAction"),
        (good.replace("2011-06-15", "2010-05-08"), "InvalidAction"),
        (String::new(), "InvalidAction"),
        ("{}".to_owned(), "InvalidAction"),
        (good.replace("Name=test", "Name=t%20t"), "ValidationError"),
        (good.replace("RoleArn", "Role"), "ValidationError"),
        (format!("{good}&DurationSeconds=60"), "ValidationError"),
    ] {
        assert_eq!(error(&Caller::here().form(&simulator, &body).await.unwrap()), (400, code.to_owned()), "{body}");
    }
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let signed = |service: &str| Caller::here().signed(&simulator, service, "eu-west-1", &good);
    for (line, headers, status, code) in [
        ("POST /", String::new(), 403, "MissingAuthenticationToken"),
        ("POST /", "Authorization: Bearer x\r\n".to_owned(), 400, "IncompleteSignature"),
        ("POST /", signed("lightsail"), 403, "SignatureDoesNotMatch"),
        ("POST /other", signed("sts"), 400, "InvalidAction"),
        ("PUT /", signed("sts"), 400, "InvalidAction"),
    ] {
        let mut stream = send(simulator.address(), line, &format!("{form}{headers}"), &good).await.unwrap();
        assert_eq!(error(&read(&mut stream).await.unwrap()), (status, code.to_owned()), "{line} {headers}");
    }
    let seen: Vec<String> = simulator.requests().into_iter().map(|seen| seen.operation).collect();
    assert_eq!(seen[..4], ["GetCallerIdentity", "AssumeRole", "", ""]);
}

#[tokio::test]
async fn lightsail_knows_no_assume_role_and_takes_no_signature_for_sts() {
    let simulator = with(revoker()).await.unwrap();
    simulator.script(Script::new(AssumeRole, Fault::Throttled)).unwrap();
    let client = Client::of(&simulator);
    assert_eq!(client.error(AssumeRole, &json!({})).await.unwrap(), "UnknownOperationException");
    let headers = Caller::here().signed(&simulator, "sts", "eu-west-1", "{}");
    let headers = format!("Content-Type: application/x-amz-json-1.1\r\n{headers}");
    let mut stream = send(simulator.address(), "POST /", &headers, "{}").await.unwrap();
    let refused = read(&mut stream).await.unwrap();
    assert_eq!(refused.error().as_deref(), Some("InvalidSignatureException"));
}

#[tokio::test]
async fn the_requests_tell_who_assumed_which_role_and_never_with_what_secret() {
    let simulator = with(revoker().external_id("right")).await.unwrap();
    simulator.script(Script::new(AssumeRole, Fault::Latency { ms: 1 })).unwrap();
    let caller = Caller { key: "222222222222".into(), ..Caller::here() };
    let assumed = Caller::of(&caller.assume(&simulator, ROLE, "&ExternalId=right").await.unwrap());
    let seen = simulator.requests().remove(0);
    assert!(seen.operation == AssumeRole);
    assert_eq!((seen.account.as_str(), seen.region.as_str()), ("222222222222", "eu-central-2"));
    assert_eq!((seen.role_arn.as_deref(), seen.role_session_name.as_deref()), (Some(ROLE), Some("test")));
    assert_eq!((seen.external_id.as_deref(), seen.status), (Some("right"), Some(200)));
    assert_eq!(seen.fault.as_deref(), Some("latency"));

    let listed = control(&simulator, "GET /_simulator/requests", "").await.unwrap();
    assert_eq!(listed.json()[0]["role_session_name"], "test");
    let state = control(&simulator, "GET /_simulator/state", "").await.unwrap();
    let role = json!({"account": THERE, "name": "revoker", "externalId": "right"});
    assert_eq!(state.json()["roles"], json!([role]));
    for told in [listed.body, state.body] {
        assert!(!told.contains(&assumed.secret) && !told.contains(&assumed.token.clone().unwrap()), "{told}");
    }
    Caller::here().buckets(&simulator).await.unwrap();
    assert_eq!(simulator.requests()[1].role_arn, None);
}

#[tokio::test]
async fn an_error_of_sts_is_scripted_like_one_of_lightsail() {
    for (fault, status, code) in [
        (Fault::Throttled, 400, "Throttling"),
        (Fault::ServiceException, 500, "InternalFailure"),
        (Fault::AccessDenied, 403, "AccessDenied"),
        (Fault::Unauthenticated, 403, "InvalidClientTokenId"),
        (Fault::InvalidInput, 400, "ValidationError"),
        (Fault::error("RegionDisabledException"), 400, "RegionDisabledException"),
        (Fault::Error { code: "Odd".into(), status: Some(503), message: Some("<m>".into()) }, 503, "Odd"),
    ] {
        let name = fault.kind();
        let simulator = with(revoker()).await.unwrap();
        simulator.script(Script::new("AssumeRole", fault)).unwrap();
        let answer = Caller::here().assume(&simulator, ROLE, "").await.unwrap();
        assert_eq!(error(&answer), (status, code.to_owned()), "{name}");
        assert_eq!(simulator.requests()[0].fault.as_deref(), Some(name));
        Caller::of(&Caller::here().assume(&simulator, ROLE, "").await.unwrap());
    }
}

#[tokio::test]
async fn an_answer_of_sts_breaks_in_every_way_that_one_of_lightsail_does() {
    let simulator = with(revoker()).await.unwrap();
    let script = |fault| simulator.script(Script::new(AssumeRole, fault)).unwrap();
    let assume = || async { Caller::here().assume(&simulator, ROLE, "").await };
    for fault in [Fault::ResetBefore, Fault::ResetAfter] {
        script(fault);
        assert_eq!(assume().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
    for fault in [Fault::HangBefore, Fault::HangAfter, Fault::NeverEnds] {
        script(fault);
        assert_eq!(assume().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
    script(Fault::Truncated);
    let half = assume().await.unwrap();
    assert!(half.status == 200 && half.body.starts_with("<AssumeRoleResponse "), "{half:?}");
    assert!(!half.body.contains("</AssumeRoleResponse>"), "{half:?}");
    script(Fault::NotJson);
    assert_eq!(assume().await.unwrap().body, "This is not JSON.");
    script(Fault::EmptyAnswer);
    let empty = assume().await.unwrap();
    assert_eq!((empty.status, empty.body.as_str()), (200, "<AssumeRoleResponse/>"));
    script(Fault::HttpStatus { status: 502 });
    let page = assume().await.unwrap();
    assert!(page.status == 502 && page.body.starts_with("<html>"), "{page:?}");
    script(Fault::Slow { bytes_per_second: 10_000 });
    let begin = Instant::now();
    Caller::of(&assume().await.unwrap());
    assert!(begin.elapsed() >= Duration::from_millis(100), "{:?}", begin.elapsed());
    let seen = simulator.requests();
    assert_eq!((seen[0].status, seen[4].status, seen[5].status), (None, Some(200), Some(200)));
}

#[tokio::test]
async fn a_form_is_one_whatever_the_case_of_its_type_and_without_a_charset() {
    let simulator = with(revoker()).await.unwrap();
    let body = assuming(ROLE, "");
    let headers = Caller::here().signed(&simulator, "sts", "us-east-1", &body);
    let headers = format!("content-type: Application/X-WWW-Form-Urlencoded\r\n{headers}");
    let mut stream = send(simulator.address(), "POST /", &headers, &body).await.unwrap();
    Caller::of(&read(&mut stream).await.unwrap());
}

#[tokio::test]
async fn a_fault_that_means_nothing_to_sts_is_refused() {
    let simulator = Simulator::start().await.unwrap();
    for fault in [
        Fault::NotFound,
        Fault::DoesNotExist,
        Fault::RegionSetupInProgress,
        Fault::OperationPending { polls: 1 },
        Fault::operation_failed(),
        Fault::NoOperations,
        Fault::StillListed { reads: 1 },
    ] {
        let kind = fault.kind();
        let refused = simulator.script(Script::new(AssumeRole, fault)).unwrap_err();
        assert_eq!(refused, ScriptError::Pointless { kind, operation: AssumeRole });
    }
    assert!(Operation::ALL.contains(&AssumeRole) && "AssumeRole".parse() == Ok(AssumeRole));
    simulator.script(Script::new(GetBuckets, Fault::NotFound)).unwrap();
}

#[tokio::test]
async fn the_control_door_takes_roles_and_refuses_what_cannot_be_one() {
    let simulator = Simulator::start().await.unwrap();
    let role = |change: Value| {
        let mut role = json!({"account": THERE, "name": "revoker"});
        role.as_object_mut().unwrap().append(change.clone().as_object_mut().unwrap());
        role.to_string()
    };
    for (body, expected) in [
        (
            role(json!({"external_id": "x"})),
            "unknown field `external_id`, expected one of `account`, `name`, `externalId`",
        ),
        (role(json!({"account": "1"})), "`1` is not an account: 12 digits are"),
        (role(json!({"name": "a/b"})), r"`a/b` is not a role's name: ^[\w+=,.@-]{1,64}$ is"),
        (role(json!({"name": ""})), "`` is not a role's name"),
        (role(json!({"name": "x".repeat(65)})), "is not a role's name"),
        (role(json!({"externalId": "x"})), r"`x` is not an external ID: ^[\w+=,.@:\/-]{2,1224}$ is"),
        (role(json!({"externalId": "a b"})), "`a b` is not an external ID"),
        (role(json!({"lastsSeconds": -1})), "invalid value"),
        (json!({"name": "revoker"}).to_string(), "missing field `account`"),
    ] {
        let answer = control(&simulator, "POST /_simulator/roles", &body).await.unwrap();
        assert!(answer.status == 400 && answer.json()["error"].as_str().unwrap().contains(expected), "{answer:?}");
    }
    let full = json!({"account": THERE, "name": "a+=,.@_-Z9", "externalId": "+=,.@:/-_", "lastsSeconds": 5});
    let taken = control(&simulator, "POST /_simulator/roles", &full.to_string()).await.unwrap();
    assert_eq!((taken.status, taken.json()), (200, json!({"ok": true})));
    let state = control(&simulator, "GET /_simulator/state", "").await.unwrap().json();
    assert_eq!(state["roles"], json!([full]));
    let refused = simulator.role(Role::new("me", "revoker"));
    assert_eq!(refused, Err(RoleError::Account { account: "me".to_owned() }));
}
