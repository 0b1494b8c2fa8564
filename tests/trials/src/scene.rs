//! What a trial of one alert starts from, and what must hold of every answer to it: one compromised key, its sibling on the
//! same bucket, and a stranger's key elsewhere.
//!
//! Invariant: whatever is said, success is said only of a key that is gone, one record says the same as the answer, and no
//! other key is touched.

use std::fmt::Display;
use std::io;

use lightsail_simulator::Operation::DeleteBucketAccessKey;
use lightsail_simulator::{Seed, Settings as SimulatorSettings, Simulator};
use serde_json::{Value, json};

use crate::{ACCOUNT, Answer, End, REGION, SECRET_ACCESS_KEY};

/// Lightsail, with a key that is to be deleted.
pub struct Scene {
    /// All of Lightsail.
    pub simulator: Simulator,
}

impl Scene {
    /// The key that is to be deleted.
    pub const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
    /// Its bucket, in [`REGION`].
    pub const BUCKET: &str = "photos";
    /// The other key of that bucket.
    pub const SIBLING: &str = "AKIAI44QH8DHBEXAMPLE";
    /// Another bucket, in [`Self::ELSEWHERE`].
    pub const OTHER_BUCKET: &str = "invoices";
    /// A Region that is not the function's.
    pub const ELSEWHERE: &str = "us-west-2";
    /// The key of that bucket.
    pub const STRANGER: &str = "AKIASTRANGERSEXAMPLE";

    /// Starts Lightsail with these settings, which verifies signatures in any case.
    pub async fn new(settings: SimulatorSettings) -> io::Result<Self> {
        let secret_access_key = Some(SECRET_ACCESS_KEY.to_owned());
        let simulator = Simulator::start_with(SimulatorSettings { secret_access_key, ..settings }).await?;
        let scene = Self { simulator };
        scene.anew()?;
        Ok(scene)
    }

    /// Puts the keys back, and forgets everything else.
    pub fn anew(&self) -> io::Result<()> {
        self.simulator.reset();
        let photos = Seed::bucket(REGION, Self::BUCKET).key(Self::KEY).key(Self::SIBLING);
        self.simulator.seed(photos).map_err(io::Error::other)?;
        let invoices = Seed::bucket(Self::ELSEWHERE, Self::OTHER_BUCKET).key(Self::STRANGER);
        self.simulator.seed(invoices).map_err(io::Error::other)
    }

    /// An alert that names key and bucket.
    pub fn named() -> Value {
        json!({"accessKeyId": Self::KEY, "bucketName": Self::BUCKET, "region": REGION})
    }

    /// An alert that names the key alone, which is then searched for.
    pub fn key_alone() -> Value {
        json!({"accessKeyId": Self::KEY})
    }

    /// An event that needs no call, to have a process started before the trial.
    pub fn ignored() -> Value {
        json!({"accessKeyId": "ASIAIOSFODNN7EXAMPLE"})
    }

    /// Whether the key is still there.
    pub fn key_is_there(&self) -> bool {
        self.keys(REGION, Self::BUCKET).iter().any(|key| key == Self::KEY)
    }

    /// Everything that must hold of an answer to an alert of this one key, and does not.
    pub fn wrong(&self, answer: &Answer) -> Vec<String> {
        let mut wrong = Wrong::default();
        wrong.unless(answer.end == End::Answered, format_args!("it ended as {:?}", answer.end));
        wrong.unless(answer.records.len() == 1, format_args!("{} records", answer.records.len()));
        let record = answer.records.first().unwrap_or(&Value::Null);
        let gone = !self.key_is_there();
        match &answer.response {
            Ok(response) => {
                wrong.unless(gone, "success is said of a key that is there");
                let same = response["records"] == json!(answer.records);
                wrong.unless(same, "the answer has another record than the log");
            }
            Err(error) => {
                let ours = error["errorType"].as_str().is_some_and(|kind| kind.starts_with("Responder."));
                wrong.unless(ours, "the error is none of the function's");
                wrong.unless(
                    error["errorMessage"] == record["message"],
                    "the error has another message than the record",
                );
            }
        }
        wrong.0.extend(self.harm_to_others());
        if wrong.0.is_empty() {
            return Vec::new();
        }
        wrong.0.push(format!("record: {record}; answer: {:?}", answer.response));
        wrong.0
    }

    /// Where nobody else deletes the key: an error may deny that a delete was done only if it was not.
    pub fn denied(&self, answer: &Answer) -> Option<String> {
        let record = answer.records.first().unwrap_or(&Value::Null);
        let may_be_done = record["unmapped"]["failure"]["may_have_taken_effect"] == true;
        let denied = answer.response.is_err() && !may_be_done && !self.key_is_there();
        denied.then(|| format!("the key is gone, and the record says that nothing was done: {record}"))
    }

    /// What was done to other keys than this one.
    pub fn harm_to_others(&self) -> Vec<String> {
        let mut wrong = Wrong::default();
        let photos = self.keys(REGION, Self::BUCKET);
        wrong.unless(photos.iter().any(|key| key == Self::SIBLING), "the sibling is gone");
        let invoices = self.keys(Self::ELSEWHERE, Self::OTHER_BUCKET);
        wrong.unless(invoices == [Self::STRANGER], "the stranger's key is gone");
        let requests = self.simulator.requests();
        let mut deletes = requests.iter().filter(|seen| seen.operation == DeleteBucketAccessKey);
        let of_the_key = deletes.all(|seen| seen.access_key_id.as_deref() == Some(Self::KEY));
        wrong.unless(of_the_key, "a delete names another key");
        wrong.0
    }

    fn keys(&self, region: &str, bucket: &str) -> Vec<String> {
        self.simulator.keys(ACCOUNT, region, bucket).unwrap_or_default()
    }
}

#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn unless(&mut self, holds: bool, what: impl Display) {
        if !holds {
            self.0.push(what.to_string());
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

    /// What is wrong, without what it was seen by.
    fn wrong(scene: &Scene, answer: &Answer) -> Vec<String> {
        scene.wrong(answer).into_iter().filter(|what| !what.starts_with("record: ")).collect()
    }

    #[tokio::test]
    async fn what_is_wrong_with_an_answer_is_seen() {
        let scene = Scene::new(SimulatorSettings::default()).await.unwrap();
        let record = json!({"message": "m", "unmapped": {"failure": {"may_have_taken_effect": false}}});
        let success = answer(Ok(json!({"records": [record]})), vec![record.clone()]);
        let failure = answer(error("Responder.Failed", "m"), vec![record.clone()]);
        assert_eq!(wrong(&scene, &success), ["success is said of a key that is there"]);
        assert_eq!(wrong(&scene, &failure), Vec::<String>::new());
        assert_eq!(scene.denied(&failure), None);
        let odd = answer(error("Runtime.ExitError", "n"), vec![record.clone(), record.clone()]);
        let expected =
            ["2 records", "the error is none of the function's", "the error has another message than the record"];
        assert_eq!(wrong(&scene, &Answer { end: End::Died, ..odd })[1..], expected);

        scene.simulator.seed(Seed::bucket(REGION, Scene::BUCKET)).unwrap();
        scene.simulator.seed(Seed::bucket(Scene::ELSEWHERE, Scene::OTHER_BUCKET)).unwrap();
        assert_eq!(wrong(&scene, &success), ["the sibling is gone", "the stranger's key is gone"]);
        assert!(scene.denied(&failure).is_some() && scene.denied(&success).is_none());
        let other = answer(Ok(json!({"records": []})), vec![record]);
        assert_eq!(wrong(&scene, &other)[0], "the answer has another record than the log");
        scene.anew().unwrap();
        assert!(scene.key_is_there());
    }
}
