//! Record -> CloudWatch metrics, as fields of the record's own log line.
//!
//! `_aws.CloudWatchMetrics` lists the fields at the root of the line that are metrics, and those that are dimensions
//! (CloudWatch user guide, "Specification: Embedded metric format"). Lambda's log filter drops the metrics only
//! together with the record, because they are on one line. Invariant: the names are an interface, which the template's
//! alarms and dashboard use.

use serde::Serialize;
use serde_json::{Value, json};

use super::Record;

/// CloudWatch namespace of all metrics of this function.
const NAMESPACE: &str = "LightsailKeyResponder";

/// Metrics of one record.
#[derive(Serialize)]
pub(super) struct Metrics {
    #[serde(rename = "_aws")]
    directives: Value,
    #[serde(rename = "FunctionName")]
    function_name: String,
    #[serde(rename = "Outcome")]
    outcome: &'static str,
    /// Always 1.
    #[serde(rename = "Records")]
    records: u8,
    #[serde(flatten)]
    optional: OptionalMetrics,
}

/// Metrics that not every record has.
#[derive(Serialize)]
struct OptionalMetrics {
    /// Milliseconds from the alert to the first delete on the wire.
    #[serde(rename = "AlertToDelete", skip_serializing_if = "Option::is_none")]
    alert_to_delete: Option<u64>,
    /// Milliseconds from the start of the invocation to the first delete on the wire.
    #[serde(rename = "InvocationToDelete", skip_serializing_if = "Option::is_none")]
    invocation_to_delete: Option<u64>,
    /// Milliseconds from the start of the invocation until a read showed the deleted key gone.
    #[serde(rename = "InvocationToGone", skip_serializing_if = "Option::is_none")]
    invocation_to_gone: Option<u64>,
    /// 1 if something of a search could not be read, else 0.
    #[serde(rename = "SearchesIncomplete", skip_serializing_if = "Option::is_none")]
    searches_incomplete: Option<u8>,
}

/// Metric for records that did not reach the bus.
#[derive(Serialize)]
pub(super) struct NotPublished {
    #[serde(rename = "_aws")]
    directives: Value,
    #[serde(rename = "FunctionName")]
    function_name: String,
    #[serde(rename = "RecordsNotPublished")]
    records: usize,
}

impl Metrics {
    /// Makes the metrics of `record`, with the dimension `function_name`.
    pub(super) fn of(record: &Record, function_name: &str) -> Self {
        let timing = record.timing();
        let from_alert = timing.alert_to_invocation.and_then(|before| u64::try_from(before).ok());
        let optional = OptionalMetrics {
            alert_to_delete: from_alert.zip(timing.delete_first_sent).map(|(before, after)| before + after),
            invocation_to_delete: timing.delete_first_sent,
            invocation_to_gone: timing.delete_accepted.and(timing.verified),
            searches_incomplete: record.is_search_incomplete().map(u8::from),
        };
        let by_function = json!(["FunctionName"]);
        let all = json!([
            directive(&json!([by_function, ["FunctionName", "Outcome"]]), &[metric("Records", "Count")]),
            directive(&json!([by_function]), &optional.names()),
        ]);
        Self {
            directives: directives(record.time(), &all),
            function_name: function_name.to_owned(),
            outcome: record.outcome().code(),
            records: 1,
            optional,
        }
    }
}

impl OptionalMetrics {
    /// Lists the metrics that have a value, because a listed metric that the line lacks makes the line invalid.
    fn names(&self) -> Vec<Value> {
        let time = |name, value: Option<u64>| value.map(|_| metric(name, "Milliseconds"));
        [
            time("AlertToDelete", self.alert_to_delete),
            time("InvocationToDelete", self.invocation_to_delete),
            time("InvocationToGone", self.invocation_to_gone),
            self.searches_incomplete.map(|_| metric("SearchesIncomplete", "Count")),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl NotPublished {
    /// Makes the metric for `records` records that did not reach the bus. `time` is in epoch milliseconds.
    pub(super) fn new(records: usize, function_name: &str, time: i64) -> Self {
        let all = json!([directive(&json!([["FunctionName"]]), &[metric("RecordsNotPublished", "Count")])]);
        Self { directives: directives(time, &all), function_name: function_name.to_owned(), records }
    }
}

fn metric(name: &str, unit: &str) -> Value {
    json!({"Name": name, "Unit": unit})
}

fn directive(dimensions: &Value, metrics: &[Value]) -> Value {
    json!({"Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": metrics})
}

fn directives(time: i64, all: &Value) -> Value {
    let some = all.as_array().into_iter().flatten().filter(|one| one["Metrics"] != json!([]));
    json!({"Timestamp": time, "CloudWatchMetrics": some.collect::<Vec<_>>()})
}
