//! The floor: what no client of the delete can leave out. It asks for the event, connects with TLS, and posts one signed
//! request; with the function's own cryptography, and with no SDK, HTTP library, async runtime or allocation to spare.
//!
//! It trusts the one authority that it is given and reads the event by searching its text: a floor may, a function may not.
//! Signature: AWS Signature Version 4 (IAM user guide, "Create a signed AWS API request").

use std::env;
use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use chrono::Utc;
use ring::{digest, hmac};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const TARGET: &str = "Lightsail_20161128.DeleteBucketAccessKey";
const SIGNED: &str = "content-type;host;x-amz-date;x-amz-security-token;x-amz-target";
const JSON: &str = "application/x-amz-json-1.1";

fn main() -> Result<()> {
    let endpoint = env::var("AWS_ENDPOINT_URL_LIGHTSAIL")?;
    let host = endpoint.strip_prefix("https://").ok_or("the endpoint is not https")?;
    let (name, _) = host.split_once(':').ok_or("the endpoint has no port")?;
    let tls = tls(&fs::read(env::var("BENCH_CA_FILE")?)?)?;

    let api = env::var("AWS_LAMBDA_RUNTIME_API")?;
    let mut runtime = TcpStream::connect(&api)?;
    let next = format!("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nhost: {api}\r\n\r\n");
    runtime.write_all(next.as_bytes())?;
    let (head, event) = message(&mut runtime)?;
    let request_id = head.lines().find_map(|line| line.strip_prefix("lambda-runtime-aws-request-id: "));
    let request_id = request_id.ok_or("the event has no request ID")?;

    let body = format!(
        r#"{{"bucketName":"{}","accessKeyId":"{}"}}"#,
        member(&event, r#""s3BucketDetails""#, "name")?,
        member(&event, r#""accessKeyDetails""#, "accessKeyId")?
    );
    let socket = TcpStream::connect(host)?;
    socket.set_nodelay(true)?;
    let connection = ClientConnection::new(Arc::new(tls), ServerName::try_from(name.to_owned())?)?;
    let mut lightsail = StreamOwned::new(connection, socket);
    lightsail.write_all(request(host, &body)?.as_bytes())?;
    let (_, answer) = message(&mut lightsail)?;

    runtime.write_all(
        format!(
            "POST /2018-06-01/runtime/invocation/{request_id}/response HTTP/1.1\r\nhost: {api}\r\n\
             content-length: {}\r\n\r\n{answer}",
            answer.len()
        )
        .as_bytes(),
    )?;
    message(&mut runtime)?;
    // Lambda stops it there.
    runtime.write_all(next.as_bytes())?;
    message(&mut runtime)?;
    Ok(())
}

fn tls(authority: &[u8]) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority)?)?;
    Ok(ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Head and body of an HTTP message with a content-length.
fn message(stream: &mut impl Read) -> Result<(String, String)> {
    let mut bytes = Vec::with_capacity(1 << 14);
    let mut part = [0; 1 << 14];
    loop {
        let count = stream.read(&mut part)?;
        if count == 0 {
            return Err("the connection ended within a message".into());
        }
        bytes.extend(part.iter().take(count));
        let text = std::str::from_utf8(&bytes)?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.ok_or("the message has no content-length")?.parse()? {
            return Ok((head.to_owned(), body.to_owned()));
        }
    }
}

/// The first string of this name after `place`, in a text of JSON without spaces.
fn member<'a>(text: &'a str, place: &str, name: &str) -> Result<&'a str> {
    let (_, after) = text.split_once(place).ok_or_else(|| format!("the event has no {place}"))?;
    let (_, after) = after.split_once(&format!(r#""{name}":""#)).ok_or_else(|| format!("{place} has no {name}"))?;
    Ok(after.split_once('"').ok_or("the event ends within a string")?.0)
}

fn request(host: &str, body: &str) -> Result<String> {
    let (region, key_id) = (env::var("AWS_REGION")?, env::var("AWS_ACCESS_KEY_ID")?);
    let (secret, token) = (env::var("AWS_SECRET_ACCESS_KEY")?, env::var("AWS_SESSION_TOKEN")?);
    let time = Utc::now().format("%Y%m%dT%H%M%SZ").to_string();
    let day = time.split_once('T').ok_or("no time of day")?.0;
    let scope = format!("{day}/{region}/lightsail/aws4_request");
    let canonical = format!(
        "POST\n/\n\ncontent-type:{JSON}\nhost:{host}\nx-amz-date:{time}\nx-amz-security-token:{token}\n\
         x-amz-target:{TARGET}\n\n{SIGNED}\n{}",
        sha256(body)
    );
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256(&canonical));
    let parts = [day, &region, "lightsail", "aws4_request"];
    let key = parts.iter().fold(format!("AWS4{secret}").into_bytes(), |key, part| sign(&key, part));
    let signature = hex(&sign(&key, &to_sign));
    Ok(format!(
        "POST / HTTP/1.1\r\ncontent-type: {JSON}\r\nhost: {host}\r\nx-amz-date: {time}\r\nx-amz-security-token: {token}\r\n\
         x-amz-target: {TARGET}\r\nauthorization: AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={SIGNED}, \
         Signature={signature}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
}

fn sign(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn sha256(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
