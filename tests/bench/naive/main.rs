//! The function as one writes it on the first day: the SDK's defaults, its configuration loader, Tokio's defaults.
//!
//! What `make bench` compares with. It reads one kind of alert and deletes; it neither proves nor records anything.

use aws_sdk_lightsail::Client;
use lambda_runtime::{Error, LambdaEvent, run, service_fn, tracing};
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let client = Client::new(&aws_config::load_from_env().await);
    run(service_fn(|event: LambdaEvent<Value>| revoke(&client, event.payload))).await
}

async fn revoke(client: &Client, event: Value) -> Result<Value, Error> {
    let resource = &event["detail"]["resource"];
    let key = resource["accessKeyDetails"]["accessKeyId"].as_str().ok_or("no access key")?;
    let bucket = resource["s3BucketDetails"][0]["name"].as_str().ok_or("no bucket")?;
    let deleted = client.delete_bucket_access_key().bucket_name(bucket).access_key_id(key).send().await?;
    Ok(Value::from(deleted.operations().len()))
}
