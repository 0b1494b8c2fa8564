//! Type and product of a finding -> whether the key in it is exposed: the rules, one for all three formats.
//!
//! The same GuardDuty findings come by GuardDuty's own events, by Security Hub in ASFF, and in OCSF. Types are matched by
//! their parts and not by a list, because AWS adds types all the time. Invariant: a type in which the key is only the
//! actor of what is reported never exposes it, in any of its spellings.

use super::{Ignored, Unactionable, Unreadable};
use crate::safe_text::SafeText;

/// Whether the type reports a change of settings, which says nothing of the key that made it: `Policy:`, `Stealth:`,
/// logging switched off (GuardDuty user guide, "IAM finding types", "S3 Protection finding types"). AWS's own Automated
/// Security Response leaves such keys alone too (its test `asff-policy-s3-actor-key`). Security Hub writes
/// `Effects/Data Exposure/Policy:S3-...` and `TTPs/Defense Evasion/Stealth:IAMUser-...`.
pub(super) fn is_change(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    let purpose = |part: &str| matches!(part.split(':').next(), Some("policy" | "stealth"));
    kind.split('/').any(purpose) || ["loggingdisabled", "loggingconfiguration"].iter().any(|mark| kind.contains(mark))
}

/// What GuardDuty calls the use of somebody else's key on a resource of another kind (user guide, "S3 Protection finding
/// types", "Retired finding types"). Its Custom Detection Rules have types of the same form, such as
/// `Exfiltration:S3/TransferDataToCloudAccount`, for activity that "can be routine" (their page): they have no such mark.
const SUSPICIOUS_USE: [&str; 7] =
    ["anomal", "compromised", "linux", "malicious", "suspicious", "toripcaller", "unusual"];

/// Whether a GuardDuty type makes the key in the finding a suspect, and not only the actor of what is reported. All types
/// of `IAMUser`, `Kubernetes` and attack sequences do that are no [change](is_change).
pub(super) fn is_suspect(kind: &str) -> bool {
    let lower = kind.to_ascii_lowercase();
    // Security Hub puts its taxonomy in front: `Unusual Behaviors/User/...`, which is no mark.
    let end = lower.rsplit_once(':').or_else(|| lower.rsplit_once('/')).map_or(lower.as_str(), |(_, end)| end);
    let about_keys = ["iamuser", "kubernetes"].iter().any(|service| end.starts_with(service)) || is_sequence(kind);
    !is_change(kind) && (about_keys || SUSPICIOUS_USE.iter().any(|mark| end.contains(mark)))
}

/// Whether this is a type of an attack sequence (GuardDuty user guide, "Attack sequence finding types").
pub(super) fn is_sequence(kind: &str) -> bool {
    kind.contains("AttackSequence:")
}

/// Whether a GuardDuty finding of this type has a key: one without it is a surprise. A console sign-in has none.
pub(super) fn expects_key(kind: &str) -> bool {
    let has = |part| kind.contains(part);
    (has("IAMUser") && !has("ConsoleLogin")) || has("AttackSequence:IAM") || has("AttackSequence:S3")
}

/// What a finding in Security Hub says of itself.
pub(super) struct Claim<'a> {
    /// Its types, in all the fields that have some.
    pub(super) types: Vec<&'a str>,
    /// The field of the types, for errors.
    pub(super) field: &'static str,
    /// The ARN of the product that imported it, and its field.
    pub(super) product: (Option<&'a str>, &'static str),
    /// Whether it says that it is of GuardDuty's.
    pub(super) guardduty: bool,
    /// Whether it holds the result of a check.
    pub(super) checked: bool,
    /// Whether a person sent it here by a custom action.
    pub(super) by_person: bool,
}

/// The name spaces of types that are threats (Security Hub user guide, "Types taxonomy for ASFF"; Security Hub V2 writes
/// `Threats`).
const THREATS: [&str; 5] = ["TTPs", "Effects", "Unusual Behaviors", "Sensitive Data Identifications", "Threats"];

/// The name spaces of types that are checks of settings (as above; `Posture Management` is Security Hub V2's).
const CHECKS: [&str; 2] = ["Software and Configuration Checks", "Posture Management"];

impl<'a> Claim<'a> {
    /// Whether the key in the finding is exposed.
    pub(super) fn judge(&self) -> Result<(), Unactionable> {
        let in_space =
            |spaces: &[&str]| self.types.iter().find(|kind| spaces.iter().any(|space| in_space(kind, space)));
        let named = || SafeText::of(self.kind().unwrap_or("no type"));
        let (product, field) = self.product;
        if self.guardduty && product.is_some_and(|arn| !is_guardduty(arn)) {
            return Err(Unreadable::Forged { field }.into());
        }
        if let Some(change) = self.types.iter().find(|kind| is_change(kind)) {
            return Err(Ignored::ActorOnly { kind: SafeText::of(change) }.into());
        }
        // Whoever presses a custom action on a check that a key is old does not say that it leaked.
        if self.checked || in_space(&CHECKS).is_some() {
            return Err(Ignored::Check { kind: named() }.into());
        }
        match self.kind() {
            Some(_) if self.guardduty && self.types.iter().any(|kind| is_full(kind) && is_suspect(kind)) => Ok(()),
            Some(kind) if self.guardduty && is_full(kind) => Err(Ignored::ActorOnly { kind: named() }.into()),
            // It may be of a type in which the key is only the actor.
            _ if self.guardduty => Err(Unreadable::Missing { field: self.field }.into()),
            _ if self.by_person || in_space(&THREATS).is_some() => Ok(()),
            Some(_) => Err(Ignored::Check { kind: named() }.into()),
            None => Err(Unreadable::Missing { field: self.field }.into()),
        }
    }

    /// The type that says most: `Threats` stands beside GuardDuty's own, in any order (Security Hub V2).
    pub(super) fn kind(&self) -> Option<&'a str> {
        self.types.iter().find(|kind| is_full(kind)).or_else(|| self.types.first()).copied()
    }
}

/// Whether it is GuardDuty's type, in its own spelling or Security Hub's, and not only a name space.
fn is_full(kind: &str) -> bool {
    kind.contains(':') || kind.rsplit('/').next().is_some_and(|end| end.contains('-'))
}

fn in_space(kind: &str, space: &str) -> bool {
    kind.split('/').next().is_some_and(|first| first.trim_ascii().eq_ignore_ascii_case(space))
}

/// Whether findings of the product are GuardDuty's own. `BatchImportFindings` takes only ARNs of the caller's account or
/// of products that agreed to it, so that nobody else can use this one (Security Hub API reference). It has no account in
/// it; `productv2` is Security Hub V2's, and `overbridge` stands in findings of the preview of 2018.
fn is_guardduty(arn: &str) -> bool {
    let mut parts = arn.split(':');
    let aws = parts.next() == Some("arn") && parts.next().is_some_and(|partition| partition.starts_with("aws"));
    let (service, _region) = (parts.next(), parts.next());
    let rest: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    match service {
        Some("securityhub") => aws && matches!(rest[..], ["product/aws/guardduty" | "productv2/aws/guardduty"]),
        Some("overbridge") => aws && rest == ["provider", "aws/guardduty"],
        _ => false,
    }
}

/// Whether an ARN is one of GuardDuty's: of a finding or a detector.
pub(super) fn is_guardduty_arn(text: &str) -> bool {
    let mut parts = text.split(':');
    parts.next() == Some("arn") && parts.nth(1) == Some("guardduty")
}

/// Whether a product calls itself GuardDuty, by its name or ARN.
pub(super) fn names_guardduty(text: &str) -> bool {
    text.to_ascii_lowercase().contains("guardduty")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_suspect_in_every_spelling_of_a_type_that_says_so() {
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
    fn a_key_is_no_suspect_where_it_only_changed_settings() {
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
        }
    }

    const GUARDDUTY: &str = "arn:aws:securityhub:eu-west-1::product/aws/guardduty";

    fn judge(types: &[&str], product: &str, by_person: bool) -> Result<(), Unactionable> {
        let guardduty = names_guardduty(product);
        let product = (Some(product), "ProductArn");
        Claim { types: types.to_vec(), field: "Types", product, guardduty, checked: false, by_person }.judge()
    }

    #[test]
    fn guardduty_is_known_by_the_arn_that_nobody_else_can_use() {
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
    fn of_guardduty_only_full_types_that_make_the_key_a_suspect_expose_it() {
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
    fn of_other_products_threats_expose_the_key_and_checks_never_do() {
        const OTHER: &str = "arn:aws:securityhub:eu-west-1:111122223333:product/111122223333/default";
        for kind in
            ["TTPs/Credential Access", "Effects", "unusual behaviors/User", "Sensitive Data Identifications/Passwords"]
        {
            assert_eq!(judge(&[kind], OTHER, false), Ok(()), "{kind}");
        }
        for by_person in [false, true] {
            for types in [
                &["Software and Configuration Checks/AWS Security Best Practices"][..],
                &["Posture Management", "TTPs"],
            ] {
                let reason = judge(types, OTHER, by_person);
                assert_eq!(reason, Err(Ignored::Check { kind: SafeText::of(types[0]) }.into()), "{types:?}");
            }
        }
        assert_eq!(judge(&["Inventory"], OTHER, false), Err(Ignored::Check { kind: SafeText::of("Inventory") }.into()));
        assert_eq!(judge(&[], OTHER, false), Err(Unreadable::Missing { field: "Types" }.into()));
        assert_eq!((judge(&["Inventory"], OTHER, true), judge(&[], OTHER, true)), (Ok(()), Ok(())));
    }
}
