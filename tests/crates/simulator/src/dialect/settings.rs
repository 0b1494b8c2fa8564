//! The settings of a [`Dialect`](super::Dialect): one enum for each question that AWS has not
//! answered in public, with one value for each possible answer.

/// Declares a setting: the enum, its name on the command line, and its values with their names.
/// The first value is the default.
macro_rules! setting {
    (
        $(#[$doc:meta])*
        $kind:ident = $setting:literal {
            $(#[$default_doc:meta])* $default:ident = $default_name:literal,
            $($(#[$value_doc:meta])* $value:ident = $name:literal,)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub enum $kind {
            $(#[$default_doc])*
            #[default]
            $default,
            $($(#[$value_doc])* $value,)+
        }

        impl $kind {
            /// Name of the setting on the command line.
            pub const SETTING: &str = $setting;

            /// Every value, the default first.
            pub const ALL: &[Self] = &[Self::$default, $(Self::$value),+];

            /// Names of the values on the command line, in the order of [`Self::ALL`].
            pub const NAMES: &[&str] = &[$default_name, $($name),+];

            /// Name of the value on the command line.
            pub fn name(self) -> &'static str {
                match self {
                    Self::$default => $default_name,
                    $(Self::$value => $name,)+
                }
            }
        }
    };
}

setting! {
    /// J1: operations in the answer to an accepted delete of a key. The key is gone in each case.
    DeleteOperations = "delete-operations" {
        /// J1: one, which [`done_at_poll`](crate::Settings::done_at_poll) says when to end: by
        /// default `Started` in the answer, and `Succeeded` at the first poll.
        Started = "started",
        /// J1: one, terminal and `Succeeded` in the answer.
        Terminal = "terminal",
        /// J1: two, the first as [`Self::Terminal`], the second as [`Self::Started`].
        Several = "several",
        /// J1: `"operations": []`.
        Empty = "empty",
        /// J1: no member `operations`.
        Absent = "absent",
    }
}

setting! {
    /// J2: delete of a key that the bucket does not have. The operation, where there is one, ends
    /// in the answer with [`DeleteOperations::Terminal`], otherwise as `done_at_poll` says.
    AbsentKey = "absent-key" {
        /// J2: `NotFoundException`.
        NotFound = "not-found",
        /// J2: HTTP 200 and an operation that ends `Succeeded`, although nothing was done.
        Succeeded = "succeeded",
        /// J2: HTTP 200 and an operation that ends `Failed`.
        Failed = "failed",
        /// J2: HTTP 200 and `"operations": []`, or `{}` with [`DeleteOperations::Absent`].
        NoOperations = "no-operations",
    }
}

setting! {
    /// J3: error of every call that names a bucket which is not in this account and Region.
    MissingBucket = "missing-bucket" {
        /// J3: `NotFoundException`.
        NotFound = "not-found",
        /// J3: `InvalidInputException`, whose text does not say that anything is missing.
        InvalidInput = "invalid-input",
        /// J3: the code `DoesNotExist`, which is not in the model.
        DoesNotExistCode = "does-not-exist",
        /// J3: `OperationFailureException`, which the model does not have for these calls, with
        /// `DoesNotExist` in its text.
        DoesNotExistText = "does-not-exist-text",
    }
}

setting! {
    /// J4: lists without entries in `GetBucketAccessKeys`, `GetBuckets` and `GetOperations`.
    EmptyLists = "empty-lists" {
        /// J4: `[]`.
        Present = "present",
        /// J4: no such member, so that the whole answer is `{}`.
        Absent = "absent",
    }
}

setting! {
    /// J10: opt-in Regions, for all accounts. A Region that is not known counts as one. Single
    /// Regions and accounts are set with [`Region`](crate::Region).
    OptInRegions = "opt-in-regions" {
        /// J10: enabled.
        Enabled = "enabled",
        /// J10: disabled, as by an account that has buckets there: credentials are refused with
        /// `UnrecognizedClientException`, and the keys of seeded buckets live on.
        Disabled = "disabled",
    }
}

setting! {
    /// K: Regions that have come since the function was built.
    NewRegion = "new-region" {
        /// K: none.
        Absent = "absent",
        /// K: one, [`Region::NEW`](crate::Region::NEW). `GetRegions` lists it, and it works like any other.
        Listed = "listed",
    }
}

setting! {
    /// J8: Deny of [`denied_tag`](crate::Settings::denied_tag) for the delete of a key. Without
    /// such a tag nothing is denied.
    TagDeny = "tag-deny" {
        /// J8: evaluated: `AccessDeniedException`.
        Evaluated = "evaluated",
        /// J8: not evaluated, so that the delete is done.
        Ignored = "ignored",
    }
}

setting! {
    /// J9: how long operations are remembered.
    OperationMemory = "operation-memory" {
        /// J9: for ever.
        Kept = "kept",
        /// J9: not at all: `GetOperation` answers `NotFoundException`, and `GetOperations` lists none.
        Forgotten = "forgotten",
    }
}

setting! {
    /// J11: every call but `CreateBucket` from an account that has never had a bucket or an
    /// operation in any Region.
    UnusedAccount = "unused-account" {
        /// J11: as from any other account, so that lists are empty.
        Empty = "empty",
        /// J11: `AccountSetupInProgressException`.
        SetupInProgress = "setup-in-progress",
        /// J11: `AccessDeniedException`.
        Denied = "denied",
    }
}
