//! The protocol of STS: turns a form into an [`AssumeRole`], and a session or a refusal into the
//! XML that STS answers.
//!
//! The rules are those of botocore's model; all that are broken are told at once, in the words
//! that STS is known to use. Members that are not simulated, such as `Policy` and `Tags`, are
//! ignored.

use std::ops::RangeInclusive;

use chrono::SecondsFormat;

use crate::{
    iam::Session,
    operation::Operation,
    refusal::Refusal,
    role::{is_external_id_character, is_name_character},
};

/// `apiVersion` and `xmlNamespace` in the metadata of botocore's model.
const VERSION: &str = "2011-06-15";
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The input of `AssumeRole`, as far as it matters here.
#[derive(Debug, PartialEq)]
pub(crate) struct AssumeRole {
    pub(crate) role_arn: String,
    pub(crate) session_name: String,
    pub(crate) external_id: Option<String>,
    pub(crate) seconds: u32,
}

/// A body of the type `application/x-www-form-urlencoded`.
#[derive(Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Any bytes are a form. Those that are not UTF-8 become replacement characters, which no
    /// rule allows but the one for ARNs.
    pub(crate) fn read(body: &[u8]) -> Self {
        let pairs = body.split(|byte| *byte == b'&').map(|pair| {
            let mut halves = pair.splitn(2, |byte| *byte == b'=').map(decode);
            (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
        });
        Self(pairs.collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|(key, value)| (key == name).then_some(value.as_str()))
    }

    /// The operation that `Action` and `Version` name.
    pub(crate) fn operation(&self) -> Result<Operation, Refusal> {
        let [action, version] = ["Action", "Version"].map(|name| self.get(name).unwrap_or_default());
        if action == Operation::AssumeRole.name() && version == VERSION {
            return Ok(Operation::AssumeRole);
        }
        Err(Refusal::invalid_action(action, version))
    }

    /// The input of `AssumeRole`.
    pub(crate) fn assume_role(&self) -> Result<AssumeRole, Refusal> {
        let [arn, name, external_id, seconds] =
            ["RoleArn", "RoleSessionName", "ExternalId", "DurationSeconds"].map(|member| self.get(member));
        let broken: Vec<String> = [
            ARN.broken_by(arn, true),
            SESSION_NAME.broken_by(name, true),
            EXTERNAL_ID.broken_by(external_id, false),
            seconds.map(broken_seconds).unwrap_or_default(),
        ]
        .concat();
        if let [first, rest @ ..] = &broken[..] {
            let errors = if rest.is_empty() { "error" } else { "errors" };
            let all = rest.iter().fold(first.clone(), |all, next| format!("{all}; {next}"));
            return Err(Refusal::validation(format!("{} validation {errors} detected: {all}", broken.len())));
        }
        let role_arn = arn.unwrap_or_default().to_owned();
        if !role_arn.starts_with("arn:") {
            return Err(Refusal::validation(format!("{role_arn} is invalid")));
        }
        Ok(AssumeRole {
            role_arn,
            session_name: name.unwrap_or_default().to_owned(),
            external_id: external_id.map(str::to_owned),
            seconds: seconds.and_then(|seconds| seconds.parse().ok()).unwrap_or(DEFAULT_SECONDS),
        })
    }
}

/// "By default, the value is set to `3600` seconds" (API_AssumeRole).
const DEFAULT_SECONDS: u32 = 3600;

/// What the model says of a string.
struct Rule {
    member: &'static str,
    length: RangeInclusive<usize>,
    pattern: &'static str,
    allows: fn(char) -> bool,
}

/// `arnType`.
const ARN: Rule = Rule {
    member: "roleArn",
    length: 20..=2048,
    pattern: r"[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+",
    allows: |character| is_xml(character) && !matches!(character, '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}'),
};

/// `roleSessionNameType`.
const SESSION_NAME: Rule =
    Rule { member: "roleSessionName", length: 2..=64, pattern: r"[\w+=,.@-]*", allows: is_name_character };

/// `externalIdType`.
const EXTERNAL_ID: Rule =
    Rule { member: "externalId", length: 2..=1224, pattern: r"[\w+=,.@:\/-]*", allows: is_external_id_character };

impl Rule {
    fn broken_by(&self, value: Option<&str>, required: bool) -> Vec<String> {
        let Self { member, length, pattern, allows } = self;
        let Some(value) = value else {
            let null = format!("Value null at '{member}' failed to satisfy constraint: Member must not be null");
            return required.then_some(null).into_iter().collect();
        };
        let count = value.chars().count();
        [
            (!value.chars().all(allows)).then(|| format!("satisfy regular expression pattern: {pattern}")),
            (count < *length.start()).then(|| format!("have length greater than or equal to {}", length.start())),
            (count > *length.end()).then(|| format!("have length less than or equal to {}", length.end())),
        ]
        .into_iter()
        .flatten()
        .map(|must| format!("Value '{value}' at '{member}' failed to satisfy constraint: Member must {must}"))
        .collect()
    }
}

/// `roleDurationSecondsType`. What STS says of something that is not a number is not known.
fn broken_seconds(value: &str) -> Vec<String> {
    let must = match value.parse::<i64>() {
        Ok(900..=43_200) => return Vec::new(),
        Ok(..900) => "have value greater than or equal to 900",
        Ok(_) => "have value less than or equal to 43200",
        Err(_) => "be a number",
    };
    vec![format!("Value '{value}' at 'durationSeconds' failed to satisfy constraint: Member must {must}")]
}

/// The answer of `AssumeRole`. `Expiration` has no fractions of a second, so it is at most one
/// second before the end.
pub(crate) fn assumed(session: &Session, request_id: &str) -> String {
    let Session { access_key_id, secret, token, arn, user_id, end, .. } = session;
    let end = end.to_rfc3339_opts(SecondsFormat::Secs, true);
    format!(
        "<AssumeRoleResponse xmlns=\"{NAMESPACE}\">\n  <AssumeRoleResult>\n    <AssumedRoleUser>\n      \
         <AssumedRoleId>{user_id}</AssumedRoleId>\n      <Arn>{arn}</Arn>\n    </AssumedRoleUser>\n    \
         <Credentials>\n      <AccessKeyId>{access_key_id}</AccessKeyId>\n      \
         <SecretAccessKey>{secret}</SecretAccessKey>\n      <SessionToken>{token}</SessionToken>\n      \
         <Expiration>{end}</Expiration>\n    </Credentials>\n  </AssumeRoleResult>\n  <ResponseMetadata>\n    \
         <RequestId>{request_id}</RequestId>\n  </ResponseMetadata>\n</AssumeRoleResponse>\n"
    )
}

/// An answer of `AssumeRole` with nothing in it.
pub(crate) const EMPTY: &str = "<AssumeRoleResponse/>";

/// An error, of the sender unless its status says otherwise.
pub(crate) fn refused(refusal: &Refusal, request_id: &str) -> String {
    let Refusal { kind, status, message, .. } = refusal;
    let side = if *status < 500 { "Sender" } else { "Receiver" };
    let (kind, message) = (escape(kind), escape(message));
    format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\">\n  <Error>\n    <Type>{side}</Type>\n    <Code>{kind}</Code>\n    \
         <Message>{message}</Message>\n  </Error>\n  <RequestId>{request_id}</RequestId>\n</ErrorResponse>\n"
    )
}

/// `+` is a blank and `%` and two hex digits are a byte; any other `%` is itself.
fn decode(text: &[u8]) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text);
    while let [first, after @ ..] = rest {
        let escaped = if *first == b'%' { after.get(..2).and_then(|digits| hex::decode(digits).ok()) } else { None };
        match (escaped, first) {
            (Some(byte), _) => {
                bytes.extend(byte);
                rest = &after[2..];
                continue;
            }
            (None, b'+') => bytes.push(b' '),
            (None, other) => bytes.push(*other),
        }
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A refusal repeats what a client sent, which may be anything.
fn escape(text: &str) -> String {
    let text: String = text.chars().map(|character| if is_xml(character) { character } else { '\u{fffd}' }).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\r', "&#13;")
}

/// `Char` of XML 1.0.
fn is_xml(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "RoleArn=arn%3Aaws%3Aiam%3A%3A111111111111%3Arole%2Fr&RoleSessionName=me";

    fn parse(body: &str) -> Result<AssumeRole, String> {
        Form::read(body.as_bytes()).assume_role().map_err(|refusal| {
            assert_eq!((refusal.kind.as_str(), refusal.status), ("ValidationError", 400));
            refusal.message
        })
    }

    #[test]
    fn a_form_is_decoded() {
        let form = Form::read(b"&a=b+c%2B%zz%&empty=&bare&=x&two=1&two=2&eq=a=b&%C3%A4=%ff");
        for (name, value) in [
            ("a", Some("b c+%zz%")),
            ("empty", Some("")),
            ("bare", Some("")),
            ("two", Some("1")),
            ("eq", Some("a=b")),
            ("ä", Some("\u{fffd}")),
            ("c", None),
        ] {
            assert_eq!(form.get(name), value, "{name}");
        }
    }

    #[test]
    fn the_input_is_taken_with_its_defaults() {
        let plain = AssumeRole {
            role_arn: "arn:aws:iam::111111111111:role/r".to_owned(),
            session_name: "me".to_owned(),
            external_id: None,
            seconds: 3600,
        };
        assert_eq!(parse(GOOD).as_ref(), Ok(&plain));
        let full = parse(&format!("{GOOD}&ExternalId=a%3Ab%2Fc&DurationSeconds=900&Policy=%7B%7D"));
        assert_eq!(full, Ok(AssumeRole { external_id: Some("a:b/c".to_owned()), seconds: 900, ..plain }));
    }

    #[test]
    fn every_broken_rule_is_told() {
        let long = "x".repeat(2049);
        for (body, expected) in [
            ("RoleSessionName=me", "1 validation error detected: Value null at 'roleArn' failed to satisfy constraint"),
            ("RoleArn=arn", "2 validation errors detected: Value 'arn' at 'roleArn' failed"),
            (&format!("RoleArn={long}&RoleSessionName=me"), "length less than or equal to 2048"),
            (
                &format!("{GOOD}%01").replace("role%2F", "%01"),
                "'roleArn' failed to satisfy constraint: Member must satisfy",
            ),
            (
                &format!("{GOOD}+you"),
                r"Value 'me you' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]*",
            ),
            (&GOOD.replace("=me", "=m"), "length greater than or equal to 2"),
            (&format!("{GOOD}{long}"), "length less than or equal to 64"),
            (&format!("{GOOD}&ExternalId="), "Value '' at 'externalId'"),
            (&format!("{GOOD}&ExternalId=a%20b"), r"pattern: [\w+=,.@:\/-]*"),
            (&format!("{GOOD}&ExternalId=%C3%A4%C3%A4"), "'externalId'"),
            (&format!("{GOOD}&ExternalId={long}"), "length less than or equal to 1224"),
            (
                &format!("{GOOD}&DurationSeconds=899"),
                "Value '899' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900",
            ),
            (&format!("{GOOD}&DurationSeconds=43201"), "less than or equal to 43200"),
            (&format!("{GOOD}&DurationSeconds=1h"), "'durationSeconds'"),
            ("RoleArn=not-an-arn-at-all-or-is-it&RoleSessionName=me", "not-an-arn-at-all-or-is-it is invalid"),
        ] {
            let message = parse(body).unwrap_err();
            assert!(message.contains(expected), "{body}: {message}");
        }
    }

    #[test]
    fn an_error_is_sound_xml_whatever_it_repeats() {
        let xml = refused(&Refusal::validation("<a> & \u{1}\r \u{ffff}"), "id");
        assert!(xml.contains("<Message>&lt;a&gt; &amp; \u{fffd}&#13; \u{fffd}</Message>"), "{xml}");
        assert!(xml.contains("<Type>Sender</Type>"), "{xml}");
        assert!(refused(&Refusal::new("InternalFailure", 500, ""), "id").contains("<Type>Receiver</Type>"));
    }
}
