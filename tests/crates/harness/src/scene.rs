//! Initial state of a trial with one alert, and the invariants of each answer. There is one compromised key, its
//! sibling on the same bucket, and an unrelated key on another bucket.
//!
//! Invariant: the function reports success only if the key is gone. One record agrees with the answer. No other key is
//! deleted.

use std::fmt::Display;
use std::io;

use lightsail_simulator::Operation::DeleteBucketAccessKey;
use lightsail_simulator::{Seed, Settings as SimulatorSettings, Simulator};
use serde_json::{Value, json};

use crate::{ACCOUNT, Answer, End, REGION, SECRET_ACCESS_KEY};

/// Lightsail simulator with a compromised key.
pub struct Scene {
    /// Simulator of Lightsail.
    pub simulator: Simulator,
}

impl Scene {
    /// Compromised key.
    pub const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
    /// Bucket of the compromised key, in [`REGION`].
    pub const BUCKET: &str = "photos";
    /// Other key on the same bucket.
    pub const SIBLING: &str = "AKIAI44QH8DHBEXAMPLE";
    /// Bucket of the unrelated key, in [`Self::OTHER_REGION`].
    pub const OTHER_BUCKET: &str = "invoices";
    /// Region that is not the function's own.
    pub const OTHER_REGION: &str = "us-west-2";
    /// Only key on [`Self::OTHER_BUCKET`].
    pub const UNRELATED_KEY: &str = "AKIAUNRELATEDEXAMPLE";

    /// Starts the simulator with these settings. It always verifies signatures.
    pub async fn new(settings: SimulatorSettings) -> io::Result<Self> {
        let secret_access_key = Some(SECRET_ACCESS_KEY.to_owned());
        let simulator = Simulator::start_with(SimulatorSettings { secret_access_key, ..settings }).await?;
        let scene = Self { simulator };
        scene.reset()?;
        Ok(scene)
    }

    /// Resets the simulator to the initial keys.
    pub fn reset(&self) -> io::Result<()> {
        self.simulator.reset();
        let photos = Seed::bucket(REGION, Self::BUCKET).key(Self::KEY).key(Self::SIBLING);
        self.simulator.seed(photos).map_err(io::Error::other)?;
        let invoices = Seed::bucket(Self::OTHER_REGION, Self::OTHER_BUCKET).key(Self::UNRELATED_KEY);
        self.simulator.seed(invoices).map_err(io::Error::other)
    }

    /// Returns an alert that names key and bucket.
    pub fn named() -> Value {
        json!({"accessKeyId": Self::KEY, "bucketName": Self::BUCKET, "region": REGION})
    }

    /// Returns an alert that names only the key, so that the function searches for it.
    pub fn key_only() -> Value {
        json!({"accessKeyId": Self::KEY})
    }

    /// Returns an event that needs no call. It starts a process before the trial.
    pub fn ignored() -> Value {
        json!({"accessKeyId": "ASIAIOSFODNN7EXAMPLE"})
    }

    /// Returns true if the compromised key still exists.
    pub fn key_exists(&self) -> bool {
        self.keys(REGION, Self::BUCKET).iter().any(|key| key == Self::KEY)
    }

    /// Returns all violations of the invariants in an answer to an alert of the compromised key.
    pub fn violations(&self, answer: &Answer) -> Vec<String> {
        let mut violations = Violations::default();
        violations.require(answer.end == End::Answered, format_args!("it ended as {:?}", answer.end));
        violations.require(answer.records.len() == 1, format_args!("{} records", answer.records.len()));
        let record = answer.records.first().unwrap_or(&Value::Null);
        let gone = !self.key_exists();
        match &answer.response {
            Ok(response) => {
                violations.require(gone, "success is reported for a key that exists");
                let same = response["records"] == json!(answer.records);
                violations.require(same, "the answer has another record than the log");
            }
            Err(error) => {
                let own_type = error["errorType"].as_str().is_some_and(|kind| kind.starts_with("Responder."));
                violations.require(own_type, "the error has an errorType of another program");
                violations.require(
                    error["errorMessage"] == record["message"],
                    "the error has another message than the record",
                );
            }
        }
        violations.0.extend(self.harm_to_other_keys());
        if violations.0.is_empty() {
            return Vec::new();
        }
        violations.0.push(format!("record: {record}; answer: {:?}", answer.response));
        violations.0
    }

    /// Returns a violation if the record denies a delete that took effect. Valid only if no other process deletes the
    /// key.
    pub fn false_denial(&self, answer: &Answer) -> Option<String> {
        let record = answer.records.first().unwrap_or(&Value::Null);
        let may_have_taken_effect = record["unmapped"]["failure"]["may_have_taken_effect"] == true;
        let false_denial = answer.response.is_err() && !may_have_taken_effect && !self.key_exists();
        false_denial.then(|| format!("the key is gone, but the record says that nothing was deleted: {record}"))
    }

    /// Returns all violations that concern other keys.
    pub fn harm_to_other_keys(&self) -> Vec<String> {
        let mut violations = Violations::default();
        let photos = self.keys(REGION, Self::BUCKET);
        violations.require(photos.iter().any(|key| key == Self::SIBLING), "the sibling is gone");
        let invoices = self.keys(Self::OTHER_REGION, Self::OTHER_BUCKET);
        violations.require(invoices == [Self::UNRELATED_KEY], "the unrelated key is gone");
        let requests = self.simulator.requests();
        let mut deletes = requests.iter().filter(|seen| seen.operation == DeleteBucketAccessKey);
        let all_name_the_key = deletes.all(|seen| seen.access_key_id.as_deref() == Some(Self::KEY));
        violations.require(all_name_the_key, "a delete names another key");
        violations.0
    }

    fn keys(&self, region: &str, bucket: &str) -> Vec<String> {
        self.simulator.keys(ACCOUNT, region, bucket).unwrap_or_default()
    }
}

#[derive(Default)]
struct Violations(Vec<String>);

impl Violations {
    fn require(&mut self, holds: bool, violation: impl Display) {
        if !holds {
            self.0.push(violation.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(response: Result<Value, Value>, records: Vec<Value>) -> Answer {
        Answer { request_id: String::new(), response, end: End::Answered, records }
    }

    fn error(kind: &str, message: &str) -> Result<Value, Value> {
        Err(json!({"errorType": kind, "errorMessage": message}))
    }

    /// Returns the violations without the quoted record and answer.
    fn violations(scene: &Scene, answer: &Answer) -> Vec<String> {
        scene.violations(answer).into_iter().filter(|violation| !violation.starts_with("record: ")).collect()
    }

    #[tokio::test]
    async fn violations_in_answer_are_found() {
        let scene = Scene::new(SimulatorSettings::default()).await.unwrap();
        let record = json!({"message": "m", "unmapped": {"failure": {"may_have_taken_effect": false}}});
        let success = answer(Ok(json!({"records": [record]})), vec![record.clone()]);
        let failure = answer(error("Responder.Failed", "m"), vec![record.clone()]);
        assert_eq!(violations(&scene, &success), ["success is reported for a key that exists"]);
        assert_eq!(violations(&scene, &failure), Vec::<String>::new());
        assert_eq!(scene.false_denial(&failure), None);
        let odd = answer(error("Runtime.ExitError", "n"), vec![record.clone(), record.clone()]);
        let expected = [
            "2 records",
            "the error has an errorType of another program",
            "the error has another message than the record",
        ];
        assert_eq!(violations(&scene, &Answer { end: End::Died, ..odd })[1..], expected);

        scene.simulator.seed(Seed::bucket(REGION, Scene::BUCKET)).unwrap();
        scene.simulator.seed(Seed::bucket(Scene::OTHER_REGION, Scene::OTHER_BUCKET)).unwrap();
        assert_eq!(violations(&scene, &success), ["the sibling is gone", "the unrelated key is gone"]);
        assert!(scene.false_denial(&failure).is_some() && scene.false_denial(&success).is_none());
        let other = answer(Ok(json!({"records": []})), vec![record]);
        assert_eq!(violations(&scene, &other)[0], "the answer has another record than the log");
        scene.reset().unwrap();
        assert!(scene.key_exists());
    }
}
