//! The built function through the gate: the way to Lightsail is TLS to a name, and it trusts who it must and nobody else.

#![expect(clippy::unwrap_used, reason = "a trial may fail by unwrapping")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use lightsail_simulator::{Seed, Settings as SimulatorSettings, Simulator};
use responder_trials::{ACCOUNT, Answer, Befalls, Gate, Lambda, Plan, SECRET_ACCESS_KEY, Settings};
use serde_json::json;

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";

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

/// Has the function revoke a key with the gate between it and the simulator. `name` is for a file of this test's own.
async fn revoked_through(name: &str, plan: Plan) -> (Simulator, Gate, Answer) {
    let settings =
        SimulatorSettings { secret_access_key: Some(SECRET_ACCESS_KEY.to_owned()), ..SimulatorSettings::default() };
    let simulator = Simulator::start_with(settings).await.unwrap();
    simulator.seed(Seed::bucket("us-east-1", "photos").key(KEY)).unwrap();
    let gate = Gate::start(simulator.address(), true, plan).await.unwrap();
    let authority = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.pem"));
    fs::write(&authority, gate.ca_pem().unwrap()).unwrap();
    let settings = Settings::new(&gate.endpoint()).variable("SSL_CERT_FILE", authority.to_str().unwrap());
    let mut lambda = Lambda::start(settings).unwrap();
    let event = json!({"accessKeyId": KEY, "bucketName": "photos", "region": "us-east-1"});
    let answer = lambda.invoke(&event, Duration::from_secs(10)).await.unwrap();
    (simulator, gate, answer)
}
