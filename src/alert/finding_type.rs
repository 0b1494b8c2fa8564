//! Type and product of a finding -> decision whether the key in it is exposed: the rules for all three formats.
//!
//! The same GuardDuty findings arrive in GuardDuty's own events, and from Security Hub in ASFF and in OCSF. Types are
//! matched by their parts and not by a list, because AWS often adds types. A type that no rule knows is an error.
//! Invariant: a type that reports the key only
//! as an actor never exposes it, in any spelling.

use super::{Ignored, Unactionable, Unreadable};
use crate::safe_text::SafeText;

/// Tests for a type that reports a change of settings, which does not suspect the key that made it: `Policy:`,
/// `Stealth:`, disabled logging (GuardDuty user guide, "IAM finding types", "S3 Protection finding types"). AWS's own
/// Automated Security Response leaves such keys alone too (its test `asff-policy-s3-actor-key`). Security Hub writes
/// `Effects/Data Exposure/Policy:S3-...` and `TTPs/Defense Evasion/Stealth:IAMUser-...`.
pub(super) fn is_change(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    let purpose = |part: &str| matches!(part.split(':').next(), Some("policy" | "stealth"));
    kind.split('/').any(purpose) || ["loggingdisabled", "loggingconfiguration"].iter().any(|mark| kind.contains(mark))
}

/// Marks of the types in which GuardDuty reports the use of a stolen key on a resource of another kind (user guide, "S3
/// Protection finding types", "Retired finding types").
const SUSPICIOUS_USE: [&str; 7] =
    ["anomal", "compromised", "linux", "malicious", "suspicious", "toripcaller", "unusual"];

/// Tests for a GuardDuty type that suspects the key and does not only report it as an actor. These are all types of
/// `IAMUser`, `Kubernetes` and attack sequences, except [changes](is_change), and those with a mark of suspicious use.
pub(super) fn is_suspect(kind: &str) -> bool {
    let lower = kind.to_ascii_lowercase();
    // Security Hub puts its taxonomy in front, such as `Unusual Behaviors/User/...`. That is not a mark.
    let end = lower.rsplit_once(':').or_else(|| lower.rsplit_once('/')).map_or(lower.as_str(), |(_, end)| end);
    let about_keys = ["iamuser", "kubernetes"].iter().any(|service| end.starts_with(service)) || is_sequence(kind);
    !is_change(kind) && (about_keys || SUSPICIOUS_USE.iter().any(|mark| end.contains(mark)))
}

/// Techniques of GuardDuty's Custom Detection Rules (user guide, "Custom Detection Rules finding types"). Their types
/// have the form of all others, such as `Exfiltration:S3/TransferDataToCloudAccount`, and report activity that "can be
/// routine in one account", whose key is only the actor.
const CUSTOM_RULES: [&str; 15] = [
    "accountmanipulation",
    "bootorlogoninitializationscripts",
    "commandandscriptinginterpreter",
    "compromiseaccounts",
    "datadestruction",
    "disableormodifytools",
    "exploitpublicfacingapplication",
    "externalremoteservices",
    "modifyauthenticationprocess",
    "modifycloudresourcehierarchy",
    "remoteservices",
    "resourcehijacking",
    "transferdatatocloudaccount",
    "unsecuredcredentials",
    "validaccounts",
];

/// Tests for the type of a Custom Detection Rule.
fn is_custom_rule(kind: &str) -> bool {
    let lower = kind.to_ascii_lowercase();
    lower.rsplit(['/', '-']).next().is_some_and(|technique| CUSTOM_RULES.contains(&technique))
}

/// Returns the reason why a GuardDuty finding of this type does not expose its key, if it does not. A type that is
/// neither a suspicion nor known as harmless is an error: AWS often adds types, and the key may be stolen.
pub(super) fn not_suspected(kind: &str) -> Option<Unactionable> {
    let name = || SafeText::of(kind);
    match kind {
        _ if is_suspect(kind) => None,
        _ if is_change(kind) || is_custom_rule(kind) => Some(Ignored::ActorOnly { kind: name() }.into()),
        _ => Some(Unreadable::UnknownType { kind: name() }.into()),
    }
}

/// Tests for a type of an attack sequence (GuardDuty user guide, "Attack sequence finding types").
pub(super) fn is_sequence(kind: &str) -> bool {
    kind.contains("AttackSequence:")
}

/// Tests for a GuardDuty type whose findings have a key. The finding of a console sign-in has none.
pub(super) fn expects_key(kind: &str) -> bool {
    let has = |part| kind.contains(part);
    (has("IAMUser") && !has("ConsoleLogin")) || has("AttackSequence:IAM") || has("AttackSequence:S3")
}

/// Type and product of a finding in Security Hub, as the finding states them.
pub(super) struct Claim<'a> {
    /// Types from all fields that hold types.
    pub(super) types: Vec<&'a str>,
    /// Path of the types, for errors.
    pub(super) field: &'static str,
    /// ARN of the product that imported the finding, and the path of the ARN.
    pub(super) product: (Option<&'a str>, &'static str),
    /// True if the finding claims to be GuardDuty's.
    pub(super) guardduty: bool,
    /// True if the finding holds the result of a check.
    pub(super) is_check: bool,
    /// True if a person sent the finding by a custom action.
    pub(super) custom_action: bool,
}

/// Namespaces of the types that are threats (Security Hub user guide, "Types taxonomy for ASFF"; Security Hub V2 writes
/// `Threats`).
const THREATS: [&str; 5] = ["TTPs", "Effects", "Unusual Behaviors", "Sensitive Data Identifications", "Threats"];

/// Namespaces of the types that are checks of settings (same page. `Posture Management` is Security Hub V2's).
const CHECKS: [&str; 2] = ["Software and Configuration Checks", "Posture Management"];

impl<'a> Claim<'a> {
    /// Decides whether the key in the finding is exposed. An error says that it is not.
    pub(super) fn judge(&self) -> Result<(), Unactionable> {
        let in_namespace = |namespaces: &[&str]| {
            self.types.iter().find(|kind| namespaces.iter().any(|namespace| in_namespace(kind, namespace)))
        };
        let kind_name = || SafeText::of(self.kind().unwrap_or("no type"));
        let (product, field) = self.product;
        if self.guardduty && product.is_some_and(|arn| !is_guardduty(arn)) {
            return Err(Unreadable::Forged { field }.into());
        }
        if let Some(change) = self.types.iter().find(|kind| is_change(kind)) {
            return Err(Ignored::ActorOnly { kind: SafeText::of(change) }.into());
        }
        // Also by custom action: a check that a key is old does not say that the key leaked.
        if self.is_check || in_namespace(&CHECKS).is_some() {
            return Err(Ignored::Check { kind: kind_name() }.into());
        }
        match self.kind() {
            Some(_) if self.guardduty && self.types.iter().any(|kind| is_full(kind) && is_suspect(kind)) => Ok(()),
            Some(kind) if self.guardduty && is_full(kind) => not_suspected(kind).map_or(Ok(()), Err),
            // The full type is unknown, and it may report the key only as an actor.
            _ if self.guardduty => Err(Unreadable::Missing { field: self.field }.into()),
            _ if self.custom_action || in_namespace(&THREATS).is_some() => Ok(()),
            Some(_) => Err(Ignored::Check { kind: kind_name() }.into()),
            None => Err(Unreadable::Missing { field: self.field }.into()),
        }
    }

    /// Returns the most specific type. Security Hub V2 lists `Threats` beside GuardDuty's own type, in any order.
    pub(super) fn kind(&self) -> Option<&'a str> {
        self.types.iter().find(|kind| is_full(kind)).or_else(|| self.types.first()).copied()
    }
}

/// Tests for a GuardDuty type in its own spelling or Security Hub's, as opposed to a namespace alone.
fn is_full(kind: &str) -> bool {
    kind.contains(':') || kind.rsplit('/').next().is_some_and(|end| end.contains('-'))
}

fn in_namespace(kind: &str, namespace: &str) -> bool {
    kind.split('/').next().is_some_and(|first| first.trim_ascii().eq_ignore_ascii_case(namespace))
}

/// Tests for GuardDuty's own product ARN. `BatchImportFindings` takes only ARNs of the caller's account or of products
/// that agreed to it, so that no other importer can use this one (Security Hub API reference). The ARN has no account
/// in it. `productv2` is Security Hub V2's, and `overbridge` is in findings of the preview of 2018.
fn is_guardduty(arn: &str) -> bool {
    let mut parts = arn.split(':');
    let is_aws = parts.next() == Some("arn") && parts.next().is_some_and(|partition| partition.starts_with("aws"));
    let (service, _region) = (parts.next(), parts.next());
    let rest: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    match service {
        Some("securityhub") => is_aws && matches!(rest[..], ["product/aws/guardduty" | "productv2/aws/guardduty"]),
        Some("overbridge") => is_aws && rest == ["provider", "aws/guardduty"],
        _ => false,
    }
}

/// Tests for the ARN of a GuardDuty finding or detector.
pub(super) fn is_guardduty_arn(text: &str) -> bool {
    let mut parts = text.split(':');
    parts.next() == Some("arn") && parts.nth(1) == Some("guardduty")
}

/// Tests for a product name or ARN that mentions GuardDuty.
pub(super) fn names_guardduty(text: &str) -> bool {
    text.to_ascii_lowercase().contains("guardduty")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspicious_types_are_recognised_in_every_spelling() {
        for kind in [
            "CredentialAccess:IAMUser/CompromisedCredentials",
            "UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS",
            "Impact:IAMUser/AnomalousModelInvocation",
            "Exfiltration:IAMUser/SomethingOfNextYear",
            "Exfiltration:S3/MaliciousIPCaller",
            "Exfiltration:S3/ObjectRead.Unusual",
            "Impact:S3/AnomalousBehavior.Delete",
            "PenTest:S3/ParrotLinux",
            "UnauthorizedAccess:S3/TorIPCaller",
            "Discovery:Kubernetes/TorIPCaller",
            "AttackSequence:S3/CompromisedData",
            "TTPs/UnauthorizedAccess:IAMUser-MaliciousIPCaller",
            "TTPs/Discovery/IAMUser-AnomalousBehavior",
            "TTPs/Discovery:S3-MaliciousIPCaller.Custom",
            "TTPs/AttackSequence:S3/CompromisedData",
            "Unusual Behaviors/User/Persistence:IAMUser-NetworkPermissions",
        ] {
            assert!(is_suspect(kind) && !is_change(kind), "{kind}");
        }
    }

    #[test]
    fn changes_of_settings_do_not_suspect_the_key() {
        for kind in [
            "Policy:S3/BucketBlockPublicAccessDisabled",
            "Policy:IAMUser/RootCredentialUsage",
            "Stealth:IAMUser/LoggingConfigurationModified",
            "DefenseEvasion:IAMUser/BedrockLoggingDisabled",
            "Effects/Data Exposure/Policy:S3-BucketBlockPublicAccessDisabled",
            "TTPs/Policy:IAMUser-RootCredentialUsage",
            "TTPs/Defense Evasion/Stealth:IAMUser-CloudTrailLoggingDisabled",
            "TTPs/Defense Evasion/IAMUser-BedrockLoggingDisabled",
        ] {
            assert!(is_change(kind) && !is_suspect(kind), "{kind}");
        }
        for kind in [
            "DefenseImpairment:S3/DisableOrModifyTools",
            "Persistence:IAM/AccountManipulation",
            "Exfiltration:S3/TransferDataToCloudAccount",
            "Impact:S3/DataDestruction",
            "Unusual Behaviors/User/Persistence:IAM-AccountManipulation",
        ] {
            assert!(!is_suspect(kind), "{kind}");
            assert_eq!(not_suspected(kind), Some(Ignored::ActorOnly { kind: SafeText::of(kind) }.into()), "{kind}");
        }
        for kind in ["Impact:S3/ObjectsHeldForRansom", "TTPs/Impact:S3-ObjectsHeldForRansom", "Discovery:RDS/X.Y"] {
            assert_eq!(
                not_suspected(kind),
                Some(Unreadable::UnknownType { kind: SafeText::of(kind) }.into()),
                "{kind}"
            );
        }
    }

    const GUARDDUTY: &str = "arn:aws:securityhub:eu-west-1::product/aws/guardduty";

    fn judge(types: &[&str], product: &str, custom_action: bool) -> Result<(), Unactionable> {
        let guardduty = names_guardduty(product);
        let product = (Some(product), "ProductArn");
        Claim { types: types.to_vec(), field: "Types", product, guardduty, is_check: false, custom_action }.judge()
    }

    #[test]
    fn guardduty_is_recognised_by_its_product_arn() {
        for arn in [
            GUARDDUTY,
            "arn:aws-us-gov:securityhub:us-gov-west-1::product/aws/guardduty",
            "arn:aws-cn:securityhub:cn-north-1::productv2/aws/guardduty",
            "arn:aws:securityhub:us-east-1:product/aws/guardduty",
            "arn:aws:overbridge:us-west-2::provider:aws/guardduty",
        ] {
            assert_eq!(judge(&["TTPs/Discovery/IAMUser-AnomalousBehavior"], arn, false), Ok(()), "{arn}");
        }
        for arn in [
            "arn:aws:securityhub:eu-west-1:111122223333:product/111122223333/guardduty",
            "arn:aws:securityhub:eu-west-1:111122223333:product/aws/guardduty",
            "arn:aws:securityhub:eu-west-1::product/acme/guardduty",
            "arn:aws:securityhub:eu-west-1::product/aws/guardduty/x",
            "product/aws/guardduty",
            "guardduty",
        ] {
            let reason = judge(&["TTPs/Discovery/IAMUser-AnomalousBehavior"], arn, true);
            assert_eq!(reason, Err(Unreadable::Forged { field: "ProductArn" }.into()), "{arn}");
        }
    }

    #[test]
    fn guardduty_key_needs_a_full_suspicious_type() {
        assert_eq!(judge(&["Threats", "Impact:IAMUser/CostHarvesting"], GUARDDUTY, false), Ok(()));
        for types in [&[][..], &["Threats"], &["TTPs"], &["Unusual Behaviors/User"]] {
            let reason = judge(types, GUARDDUTY, true);
            assert_eq!(reason, Err(Unreadable::Missing { field: "Types" }.into()), "{types:?}");
        }
        let change = "Policy:S3/BucketBlockPublicAccessDisabled";
        for types in
            [&["Threats", change][..], &[change, "Threats"], &["TTPs/Discovery/IAMUser-AnomalousBehavior", change]]
        {
            let reason = judge(types, GUARDDUTY, true);
            assert_eq!(reason, Err(Ignored::ActorOnly { kind: SafeText::of(change) }.into()), "{types:?}");
        }
        let rule = "Persistence:IAM/AccountManipulation";
        assert_eq!(
            judge(&["Threats", rule], GUARDDUTY, true),
            Err(Ignored::ActorOnly { kind: SafeText::of(rule) }.into())
        );
    }

    #[test]
    fn other_products_expose_by_threats_not_checks() {
        const OTHER: &str = "arn:aws:securityhub:eu-west-1:111122223333:product/111122223333/default";
        for kind in
            ["TTPs/Credential Access", "Effects", "unusual behaviors/User", "Sensitive Data Identifications/Passwords"]
        {
            assert_eq!(judge(&[kind], OTHER, false), Ok(()), "{kind}");
        }
        for custom_action in [false, true] {
            for types in [
                &["Software and Configuration Checks/AWS Security Best Practices"][..],
                &["Posture Management", "TTPs"],
            ] {
                let reason = judge(types, OTHER, custom_action);
                assert_eq!(reason, Err(Ignored::Check { kind: SafeText::of(types[0]) }.into()), "{types:?}");
            }
        }
        assert_eq!(judge(&["Inventory"], OTHER, false), Err(Ignored::Check { kind: SafeText::of("Inventory") }.into()));
        assert_eq!(judge(&[], OTHER, false), Err(Unreadable::Missing { field: "Types" }.into()));
        assert_eq!((judge(&["Inventory"], OTHER, true), judge(&[], OTHER, true)), (Ok(()), Ok(())));
    }
}
