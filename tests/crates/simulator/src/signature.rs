//! AWS Signature Version 4: turns the headers of a request into its [`Caller`], that is, the
//! account and the Region whose buckets it speaks about, or into the refusal that AWS answers.
//! Whoever signs with the credentials of an assumed role speaks about the role's account.
//!
//! The Region is the one of the credential scope and nothing else: the endpoint is the same for
//! all, just as it is for whoever sets `AWS_ENDPOINT_URL`. Without a secret to check against,
//! only the form of the header is judged; with one, the signature is recomputed over the request
//! as it was sent ("Create a signed AWS API request" in the IAM user guide). The credentials of
//! an assumed role always bring a secret to check against.

use axum::http::{HeaderMap, request::Parts};
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::{
    clock,
    iam::{Iam, Session},
    refusal::Refusal,
    region::Regions,
    service::Service,
    settings::{Settings, is_account},
};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who calls, as far as the signature tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) account: String,
    pub(crate) region: String,
    /// The user or the assumed role, for the text of a refusal.
    pub(crate) arn: String,
}

/// Reads the caller off `head`, and checks the signature if there is a secret.
pub(crate) fn authenticate(
    service: Service,
    head: &Parts,
    body: &[u8],
    settings: &Settings,
    iam: &Iam,
    regions: &Regions,
) -> Result<Caller, Refusal> {
    let authorization = Authorization::of(service, &head.headers)?;
    let scope = &authorization.scope;
    if scope.service != service.name() {
        let message = format!("Credential should be scoped to correct service: '{}'.", service.name());
        return Err(Refusal::bad_signature(service, message));
    }
    let caller = match iam.session(&authorization.access_key_id) {
        Some(session) => authorization.caller_of(session, service, head, body)?,
        None => authorization.caller(service, head, body, settings)?,
    };
    // STS has more Regions than Lightsail, and the global one is signed for as `us-east-1`.
    if service == Service::Lightsail && !regions.admits(&caller.account, &caller.region) {
        return Err(Refusal::unrecognized_client(service));
    }
    Ok(caller)
}

/// The `Authorization` header, taken apart.
struct Authorization {
    access_key_id: String,
    scope: Scope,
    signed_headers: Vec<String>,
    signature: String,
}

/// What the signature is good for: `date/region/service/aws4_request`.
struct Scope {
    date: String,
    region: String,
    service: String,
}

impl Authorization {
    fn of(service: Service, headers: &HeaderMap) -> Result<Self, Refusal> {
        let incomplete = |message: &str| Refusal::incomplete_signature(service, message);
        let header = headers.get("authorization").ok_or_else(|| Refusal::no_signature(service))?;
        let header = header.to_str().map_err(|_| incomplete("Authorization is not ASCII."))?;
        let fields = header
            .strip_prefix(ALGORITHM)
            .ok_or_else(|| incomplete(&format!("Authorization header requires {ALGORITHM}.")))?;
        let field = |name: &str| {
            fields
                .split(',')
                .filter_map(|field| field.trim().split_once('='))
                .find_map(|(key, value)| (key == name && !value.is_empty()).then_some(value))
                .ok_or_else(|| incomplete(&format!("Authorization header requires '{name}' parameter.")))
        };
        let credential = field("Credential")?;
        let [access_key_id, date, region, service, "aws4_request"] = credential.split('/').collect::<Vec<_>>()[..]
        else {
            return Err(incomplete(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.",
            ));
        };
        if !headers.contains_key("x-amz-date") {
            return Err(incomplete("Authorization header requires existence of 'X-Amz-Date'."));
        }
        Ok(Self {
            access_key_id: access_key_id.to_owned(),
            scope: Scope { date: date.to_owned(), region: region.to_owned(), service: service.to_owned() },
            signed_headers: field("SignedHeaders")?.split(';').map(str::to_owned).collect(),
            signature: field("Signature")?.to_owned(),
        })
    }

    fn caller(self, service: Service, head: &Parts, body: &[u8], settings: &Settings) -> Result<Caller, Refusal> {
        if let Some(secret) = settings.secret_access_key.as_deref() {
            self.verify(service, head, body, secret, clock::now())?;
        }
        // LocalStack's convention: a key id that looks like an account number is one.
        let key = self.access_key_id;
        let account = if is_account(&key) { key } else { settings.account.clone() };
        let arn = format!("arn:aws:iam::{account}:user/simulated");
        Ok(Caller { account, region: self.scope.region, arn })
    }

    /// Which of these checks AWS makes first is not published.
    fn caller_of(self, session: &Session, service: Service, head: &Parts, body: &[u8]) -> Result<Caller, Refusal> {
        if header_value(&head.headers, "x-amz-security-token") != session.token {
            return Err(Refusal::unrecognized_client(service));
        }
        let now = clock::now();
        self.verify(service, head, body, &session.secret, now)?;
        if now >= session.end {
            return Err(Refusal::expired_token(service));
        }
        Ok(Caller { account: session.account.clone(), region: self.scope.region, arn: session.arn.clone() })
    }

    fn verify(
        &self,
        service: Service,
        head: &Parts,
        body: &[u8],
        secret: &str,
        now: DateTime<Utc>,
    ) -> Result<(), Refusal> {
        let bad = |message: &str| Err(Refusal::bad_signature(service, message));
        let date = header_value(&head.headers, "x-amz-date");
        let signed_at = NaiveDateTime::parse_from_str(&date, "%Y%m%dT%H%M%SZ")
            .map_err(|_| Refusal::incomplete_signature(service, "X-Amz-Date must be YYYYMMDDTHHMMSSZ."))?;
        if !date.starts_with(&self.scope.date) {
            return bad("Date in Credential scope does not match YYYYMMDD from X-Amz-Date.");
        }
        // "In most cases, a request must reach AWS within five minutes of the time stamp in the
        // request" ("AWS Signature Version 4 for API requests" in the IAM user guide).
        if (now.naive_utc() - signed_at).abs() > TimeDelta::minutes(5) {
            return bad(&format!("Signature expired: {date} is more than 5 min. away."));
        }
        if !["host", "x-amz-date"].iter().all(|name| self.signed_headers.iter().any(|signed| signed == name)) {
            return bad("'Host' and 'X-Amz-Date' must be 'SignedHeaders'.");
        }
        if self.expected(head, body, secret) == self.signature {
            return Ok(());
        }
        bad(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.",
        )
    }

    /// The signature that the holder of `secret` would have made.
    fn expected(&self, head: &Parts, body: &[u8], secret: &str) -> String {
        let Scope { date, region, service } = &self.scope;
        let headers: String =
            self.signed_headers.iter().map(|name| format!("{name}:{}\n", header_value(&head.headers, name))).collect();
        let canonical_request = [
            head.method.as_str(),
            head.uri.path(),
            head.uri.query().unwrap_or_default(),
            &headers,
            &self.signed_headers.join(";"),
            &hex::encode(Sha256::digest(body)),
        ]
        .join("\n");
        let string_to_sign = [
            ALGORITHM,
            &header_value(&head.headers, "x-amz-date"),
            &format!("{date}/{region}/{service}/aws4_request"),
            &hex::encode(Sha256::digest(canonical_request)),
        ]
        .join("\n");
        let signing_key = [date, region, service, "aws4_request"]
            .iter()
            .fold(format!("AWS4{secret}").into_bytes(), |key, part| hmac(&key, part));
        hex::encode(hmac(&signing_key, &string_to_sign))
    }
}

/// The values of a header joined by commas, inner runs of blanks made one.
fn header_value(headers: &HeaderMap, name: &str) -> String {
    let values = headers.get_all(name).iter().map(|value| {
        let text = String::from_utf8_lossy(value.as_bytes());
        text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    });
    values.collect::<Vec<_>>().join(",")
}

/// HMAC takes a key of any length, so the empty default is never seen; it would match no
/// signature anyway.
fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(key)
        .map(|mac| mac.chain_update(text).finalize().into_bytes().to_vec())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    /// `post-vanilla` of the test suite that AWS published for Signature Version 4.
    fn post_vanilla() -> Parts {
        let authorization = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";
        let request = Request::post("/")
            .header("host", "example.amazonaws.com")
            .header("x-amz-date", "20150830T123600Z")
            .header("authorization", authorization);
        request.body(()).unwrap().into_parts().0
    }

    fn verify(head: &Parts, body: &[u8], secret: &str, minutes_late: i64) -> Result<(), Refusal> {
        let signed_at: DateTime<Utc> = "2015-08-30T12:36:00Z".parse().unwrap();
        let now = signed_at + TimeDelta::minutes(minutes_late);
        let authorization = Authorization::of(Service::Lightsail, &head.headers).unwrap();
        authorization.verify(Service::Lightsail, head, body, secret, now)
    }

    fn refused(service: Service, head: &Parts) -> String {
        let settings = Settings::default();
        let regions = Regions::new(&settings.regions, settings.dialect);
        authenticate(service, head, b"", &settings, &Iam::default(), &regions).unwrap_err().kind
    }

    #[test]
    fn the_published_signature_is_accepted() {
        assert_eq!(verify(&post_vanilla(), b"", SECRET, 0), Ok(()));
    }

    #[test]
    fn another_secret_body_header_or_hour_is_refused() {
        let mut moved = post_vanilla();
        moved.headers.insert("host", "example.org".parse().unwrap());
        for refused in [
            verify(&post_vanilla(), b"", "another", 0),
            verify(&post_vanilla(), b"{}", SECRET, 0),
            verify(&moved, b"", SECRET, 0),
            verify(&post_vanilla(), b"", SECRET, 6),
        ] {
            assert_eq!(refused.unwrap_err().kind, "InvalidSignatureException");
        }
    }

    #[test]
    fn a_signature_for_another_service_is_refused() {
        assert_eq!(refused(Service::Lightsail, &post_vanilla()), "InvalidSignatureException");
        assert_eq!(refused(Service::Sts, &post_vanilla()), "SignatureDoesNotMatch");
    }

    #[test]
    fn a_header_that_lacks_a_part_is_incomplete() {
        for header in [
            "Basic dXNlcjpwYXNz",
            "AWS4-HMAC-SHA256 Credential=A/20150830/us-east-1/lightsail/aws4_request, SignedHeaders=host",
            "AWS4-HMAC-SHA256 Credential=A/us-east-1/lightsail/aws4_request, SignedHeaders=host, Signature=0",
        ] {
            let mut head = post_vanilla();
            head.headers.insert("authorization", header.parse().unwrap());
            assert_eq!(refused(Service::Lightsail, &head), "IncompleteSignatureException", "{header}");
            assert_eq!(refused(Service::Sts, &head), "IncompleteSignature", "{header}");
        }
    }
}
