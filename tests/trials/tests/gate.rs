//! The built function through the gate: the way to Lightsail is TLS to a name, and it trusts who it must and nobody else.

#![expect(clippy::unwrap_used, reason = "a trial may fail by unwrapping")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use lightsail_simulator::{Operation, Seed, Settings as SimulatorSettings, Simulator};
use responder_trials::{ACCOUNT, Answer, Authority, Befalls, Gate, Lambda, Plan, SECRET_ACCESS_KEY, Settings};
use serde_json::{Value, json};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const TIME: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_revoked_over_tls() {
    let (simulator, gate, answer) = revoked_through("open", Plan::new([])).await;
    assert_eq!(answer.records[0]["status_code"], "revoked", "{answer:#?}");
    assert_eq!(simulator.keys(ACCOUNT, "us-east-1", "photos").unwrap(), Vec::<String>::new());
    assert!(gate.accepted() > 0);
    assert_eq!(gate.struck(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_said_to_a_host_that_cannot_prove_its_name() {
    for befalls in [Befalls::WrongCertificate, Befalls::WrongName] {
        let (simulator, gate, answer) = revoked_through(&format!("{befalls:?}"), Plan::always(befalls)).await;
        assert_eq!(answer.records.len(), 1, "{answer:#?}");
        assert_eq!(answer.records[0]["status_code"], "failed", "{answer:#?}");
        assert_eq!(answer.response.unwrap_err()["errorType"], "Responder.Failed");
        assert_eq!(simulator.requests(), []);
        assert!(gate.struck() > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_of_an_authority_that_aws_does_not_use_today_is_reached_with_the_second_attempt_and_then_with_the_first()
{
    let (aws, another) = (Authority::new().unwrap(), Authority::named("Another Root CA").unwrap());
    let simulator = simulator().await;
    let gate = Gate::of(&another, simulator.address()).await.unwrap();
    let mut lambda = function("another", &gate, &[aws.pem(), another.pem()]);
    for attempts in [2, 1] {
        let answer = lambda.invoke(&event(), TIME).await.unwrap();
        assert_eq!(answer.records[0]["status_code"], "revoked", "{answer:#?}");
        assert_eq!(attempt_that_arrived(&simulator), Some(attempts), "{answer:#?}");
        simulator.reset();
        simulator.seed(Seed::bucket("us-east-1", "photos").key(KEY)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_any_authority_of_amazons_is_taken_as_it_is() {
    let another = Authority::named("Another Root CA").unwrap();
    let simulator = simulator().await;
    let gate = Gate::of(&another, simulator.address()).await.unwrap();
    let answer = function("only-another", &gate, &[another.pem()]).invoke(&event(), TIME).await.unwrap();
    assert_eq!(answer.records[0]["status_code"], "revoked", "{answer:#?}");
    assert_eq!(attempt_that_arrived(&simulator), Some(1), "{answer:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_only_has_the_name_of_an_amazon_authority_is_not_trusted() {
    let (aws, forger) = (Authority::new().unwrap(), Authority::new().unwrap());
    let simulator = simulator().await;
    let gate = Gate::of(&forger, simulator.address()).await.unwrap();
    let answer = function("forger", &gate, &[aws.pem()]).invoke(&event(), TIME).await.unwrap();
    assert_eq!(answer.records[0]["status_code"], "failed", "{answer:#?}");
    assert_eq!(simulator.requests(), []);
}

/// Has the function revoke a key with the gate between it and the simulator. `name` is for a file of this test's own.
async fn revoked_through(name: &str, plan: Plan) -> (Simulator, Gate, Answer) {
    let simulator = simulator().await;
    let gate = Gate::start(simulator.address(), true, plan).await.unwrap();
    let mut lambda = function(name, &gate, &[gate.ca_pem().unwrap().to_owned()]);
    let answer = lambda.invoke(&event(), TIME).await.unwrap();
    (simulator, gate, answer)
}

async fn simulator() -> Simulator {
    let settings =
        SimulatorSettings { secret_access_key: Some(SECRET_ACCESS_KEY.to_owned()), ..SimulatorSettings::default() };
    let simulator = Simulator::start_with(settings).await.unwrap();
    simulator.seed(Seed::bucket("us-east-1", "photos").key(KEY)).unwrap();
    simulator
}

/// The function, which finds certificates of these authorities (PEM).
fn function(name: &str, gate: &Gate, authorities: &[String]) -> Lambda {
    let store = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.pem"));
    fs::write(&store, authorities.concat()).unwrap();
    Lambda::start(Settings::new(&gate.endpoint()).variable("SSL_CERT_FILE", store.to_str().unwrap())).unwrap()
}

/// Which attempt of the SDK's the delete was.
fn attempt_that_arrived(simulator: &Simulator) -> Option<u32> {
    let requests = simulator.requests();
    requests.iter().find(|seen| seen.operation == Operation::DeleteBucketAccessKey)?.attempt
}

fn event() -> Value {
    json!({"accessKeyId": KEY, "bucketName": "photos", "region": "us-east-1"})
}
