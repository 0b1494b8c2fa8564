//! The rules of the spine: who may name what. A rule that only a document states is soon broken.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use lightsail_key_responder::regions::REGIONS;

/// The files below `src` that contain any of `texts`, comments left out.
fn files_with(texts: &[&str]) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = BTreeSet::new();
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            read += 1;
            let source = fs::read_to_string(&path).unwrap();
            let code =
                source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
            if texts.iter().any(|text| code.contains(text)) {
                found.insert(path.strip_prefix(&root).unwrap().display().to_string());
            }
        }
    }
    assert!(read > 15, "src was read");
    found
}

fn names(files: &[&str]) -> BTreeSet<String> {
    files.iter().map(|file| (*file).to_owned()).collect()
}

#[test]
fn each_sdk_is_named_in_one_file() {
    assert_eq!(files_with(&["aws_sdk_lightsail"]), names(&["aws/lightsail.rs", "aws/lightsail/model.rs"]));
    assert_eq!(files_with(&["aws_sdk_sts"]), names(&["aws/sts.rs"]));
    assert_eq!(files_with(&["aws_sdk_eventbridge"]), names(&["aws/eventbridge.rs"]));
    let shared = files_with(&["aws_smithy", "aws_types", "aws_credential_types"]);
    assert!(shared.iter().all(|file| file == "aws.rs" || file.starts_with("aws/")), "{shared:?}");
}

#[test]
fn only_config_reads_the_environment() {
    assert_eq!(files_with(&["std::env", "env::var"]), names(&["config.rs"]));
}

#[test]
fn only_main_and_outcome_name_the_lambda_runtime() {
    assert_eq!(files_with(&["lambda_runtime"]), names(&["main.rs", "outcome.rs"]));
}

/// A Region that AWS adds must not be one that the search leaves out. `us-west-1` is in the model without an endpoint.
#[test]
fn the_regions_are_those_of_the_sdk_that_have_an_endpoint() {
    let model: BTreeSet<&str> = aws_sdk_lightsail::types::RegionName::values().iter().copied().collect();
    let ours: BTreeSet<&str> = REGIONS.iter().map(|(name, _)| *name).chain(["us-west-1"]).collect();
    assert_eq!(ours, model);
}
