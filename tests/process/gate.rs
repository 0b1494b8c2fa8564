//! Trials of TLS with the built function behind the gate: it accepts only the right name and only trusted authorities.

#![expect(clippy::unwrap_used, reason = "trials and their helpers fail by panicking")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use lightsail_simulator::{Operation, Seed, Settings as SimulatorSettings, Simulator};
use responder_harness::{
    ACCOUNT, Answer, Authority, Gate, Lambda, NetworkFault, Plan, REGION, SECRET_ACCESS_KEY, Settings,
};
use serde_json::{Value, json};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_is_revoked_over_tls() {
    let (simulator, gate, answer) = revoked_through("open", Plan::new([])).await;
    assert_eq!(answer.records[0]["status_code"], "revoked", "{answer:#?}");
    assert_eq!(simulator.keys(ACCOUNT, "us-east-1", "photos").unwrap(), Vec::<String>::new());
    assert!(gate.accepted() > 0);
    assert_eq!(gate.faults(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn untrusted_host_gets_no_request() {
    for fault in [NetworkFault::WrongCertificate, NetworkFault::WrongName] {
        let (simulator, gate, answer) = revoked_through(&format!("{fault:?}"), Plan::always(fault)).await;
        assert_eq!(answer.records.len(), 1, "{answer:#?}");
        assert_eq!(answer.records[0]["status_code"], "failed", "{answer:#?}");
        assert_eq!(answer.response.unwrap_err()["errorType"], "Responder.Failed");
        assert_eq!(simulator.requests(), []);
        assert!(gate.faults() > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_authority_costs_one_attempt_once() {
    let (aws, other) = (Authority::new().unwrap(), Authority::named("Another Root CA").unwrap());
    let simulator = simulator().await;
    let gate = Gate::with_authority(&other, simulator.address()).await.unwrap();
    let mut lambda = function("other", &gate, &[aws.pem(), other.pem()]);
    for attempts in [2, 1] {
        let answer = lambda.invoke(&event(), TIMEOUT).await.unwrap();
        assert_eq!(answer.records[0]["status_code"], "revoked", "{answer:#?}");
        assert_eq!(arrived_attempt(&simulator), Some(attempts), "{answer:#?}");
        simulator.reset();
        simulator.seed(Seed::bucket("us-east-1", "photos").key(KEY)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn root_store_without_amazon_roots_is_used_whole() {
    let other = Authority::named("Another Root CA").unwrap();
    let simulator = simulator().await;
    let gate = Gate::with_authority(&other, simulator.address()).await.unwrap();
    let answer = function("only-other", &gate, &[other.pem()]).invoke(&event(), TIMEOUT).await.unwrap();
    assert_eq!(answer.records[0]["status_code"], "revoked", "{answer:#?}");
    assert_eq!(arrived_attempt(&simulator), Some(1), "{answer:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authority_with_only_amazon_name_is_untrusted() {
    let (aws, forger) = (Authority::new().unwrap(), Authority::new().unwrap());
    let simulator = simulator().await;
    let gate = Gate::with_authority(&forger, simulator.address()).await.unwrap();
    let answer = function("forger", &gate, &[aws.pem()]).invoke(&event(), TIMEOUT).await.unwrap();
    assert_eq!(answer.records[0]["status_code"], "failed", "{answer:#?}");
    assert_eq!(simulator.requests(), []);
}

/// Revokes a key through a gate with `plan`. `name` is the unique file name of this test's root store.
async fn revoked_through(name: &str, plan: Plan) -> (Simulator, Gate, Answer) {
    let simulator = simulator().await;
    let gate = Gate::start(simulator.address(), true, plan).await.unwrap();
    let mut lambda = function(name, &gate, &[gate.ca_pem().unwrap().to_owned()]);
    let answer = lambda.invoke(&event(), TIMEOUT).await.unwrap();
    (simulator, gate, answer)
}

async fn simulator() -> Simulator {
    let settings =
        SimulatorSettings { secret_access_key: Some(SECRET_ACCESS_KEY.to_owned()), ..SimulatorSettings::default() };
    let simulator = Simulator::start_with(settings).await.unwrap();
    simulator.seed(Seed::bucket("us-east-1", "photos").key(KEY)).unwrap();
    simulator
}

/// Prepares the function with a root store of these authorities (PEM).
fn function(name: &str, gate: &Gate, authorities: &[String]) -> Lambda {
    let store = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.pem"));
    fs::write(&store, authorities.concat()).unwrap();
    // One Region, because each Region that is searched costs five handshakes if the authority is untrusted.
    let settings = Settings::new(&gate.endpoint()).variable("SEARCH_REGIONS", REGION);
    Lambda::start(settings.variable("SSL_CERT_FILE", store.to_str().unwrap())).unwrap()
}

/// Returns the SDK's attempt number of the delete that arrived.
fn arrived_attempt(simulator: &Simulator) -> Option<u32> {
    let requests = simulator.requests();
    requests.iter().find(|seen| seen.operation == Operation::DeleteBucketAccessKey)?.attempt
}

fn event() -> Value {
    json!({"accessKeyId": KEY, "bucketName": "photos", "region": "us-east-1"})
}
