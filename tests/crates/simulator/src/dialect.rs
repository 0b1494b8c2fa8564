//! Behaviour of AWS where it has not published any: a [`Dialect`] has one setting for each such
//! question, and each setting has one value for each possible answer.
//!
//! A client must be right in every dialect, so a test can walk them ([`Dialect::each_alone`],
//! `ALL` of each setting), and a simulation can draw one by its seed ([`Dialect::nth`]). The
//! letters and numbers in the documentation (J1 to J11, K) are the rows of the project's list of
//! unknown facts. The default is the first value of each setting.

mod settings;

use std::{fmt, str::FromStr};

pub use settings::{
    AbsentKey, DeleteOperations, EmptyLists, MissingBucket, NewRegion, OperationMemory, OptInRegions, TagDeny,
    UnusedAccount,
};

/// Declares the fields of [`Dialect`], with what has to treat all of them alike.
macro_rules! dialect {
    ($($(#[$doc:meta])* $field:ident: $kind:ident,)+) => {
        /// Behaviour of AWS where it has not published any.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct Dialect {
            $($(#[$doc])* pub $field: $kind,)+
        }

        impl Dialect {
            /// Name of each setting and the names of its values, the default first.
            pub const SETTINGS: &[(&str, &[&str])] = &[$(($kind::SETTING, $kind::NAMES)),+];

            /// Number of different dialects.
            pub const COUNT: u64 = 1 $(* $kind::ALL.len() as u64)+;

            /// Returns a dialect by its number. Numbers from [`Self::COUNT`] on start over, so that any
            /// random number draws one. Number 0 is the default.
            pub fn nth(number: u64) -> Self {
                let mut rest = number;
                $(let $field = pick($kind::ALL, &mut rest);)+
                Self { $($field),+ }
            }

            /// Returns the name of each setting and of its value.
            pub fn values(self) -> impl Iterator<Item = (&'static str, &'static str)> {
                [$(($kind::SETTING, self.$field.name())),+].into_iter()
            }

            /// Sets one setting, and returns whether it has this name and a value of that name.
            fn set(&mut self, setting: &str, value: &str) -> bool {
                match setting {
                    $($kind::SETTING => pick_named($kind::ALL, $kind::NAMES, value).map(|value| self.$field = value),)+
                    _ => None,
                }
                .is_some()
            }
        }
    };
}

dialect! {
    /// J1: operations in the answer to an accepted delete of a key.
    delete_operations: DeleteOperations,
    /// J2: delete of a key that the bucket does not have.
    absent_key: AbsentKey,
    /// J3: any call that names a bucket which is not in this account and Region.
    missing_bucket: MissingBucket,
    /// J4: lists without entries.
    empty_lists: EmptyLists,
    /// J8: Deny for the delete from a bucket with a certain tag.
    tag_deny: TagDeny,
    /// J9: operations that were started earlier.
    operation_memory: OperationMemory,
    /// J10: opt-in Regions.
    opt_in_regions: OptInRegions,
    /// J11: calls from an account that never used Lightsail.
    unused_account: UnusedAccount,
    /// K: Regions that are newer than the function.
    new_region: NewRegion,
}

impl Dialect {
    /// Walks all dialects.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self::nth)
    }

    /// Walks the default and then every dialect that differs from it in one setting.
    pub fn each_alone() -> impl Iterator<Item = Self> {
        let others = Self::SETTINGS.iter().flat_map(|(setting, values)| {
            values.iter().skip(1).map(|value| {
                let mut dialect = Self::default();
                dialect.set(setting, value);
                dialect
            })
        });
        [Self::default()].into_iter().chain(others)
    }
}

/// Parses `absent-key=succeeded,missing-bucket=invalid-input`. Settings that are not named keep
/// their defaults, and a later one replaces an earlier one. `default` and nothing name none.
impl FromStr for Dialect {
    type Err = DialectError;

    fn from_str(text: &str) -> Result<Self, DialectError> {
        let mut dialect = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty() && *part != "default") {
            let (setting, value) = part.split_once('=').ok_or_else(|| DialectError::NoValue(part.to_owned()))?;
            let known = Self::SETTINGS.iter().find(|(name, _)| *name == setting);
            let (setting, values) = known.ok_or_else(|| DialectError::Setting(setting.to_owned()))?;
            if !dialect.set(setting, value) {
                return Err(DialectError::Value { setting, value: value.to_owned(), accepted: values.join(", ") });
            }
        }
        Ok(dialect)
    }
}

/// Writes what [`FromStr`] reads: the settings that are not at their defaults, or `default`.
impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.values().zip(Self::default().values()).filter(|(own, default)| own != default);
        let texts: Vec<String> = pairs.map(|((setting, value), _)| format!("{setting}={value}")).collect();
        f.write_str(if texts.is_empty() { "default" } else { "" })?;
        f.write_str(&texts.join(","))
    }
}

/// Why a text is not a dialect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialectError {
    /// A part of the text is not a pair.
    #[error("`{0}` is not a setting with a value: NAME=VALUE[,NAME=VALUE...] is accepted")]
    NoValue(String),
    /// No setting has this name.
    #[error("unknown setting `{0}`, expected one of {known}", known = setting_names())]
    Setting(String),
    /// The setting has no value of this name.
    #[error("{setting} cannot be `{value}`, expected one of {accepted}")]
    Value {
        /// Name of the setting.
        setting: &'static str,
        /// As it was given.
        value: String,
        /// Names of the values that the setting has.
        accepted: String,
    },
}

fn setting_names() -> String {
    Dialect::SETTINGS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// Takes the last digit off `rest`, in a number system with one digit for each of `all`.
fn pick<T: Copy>(all: &[T], rest: &mut u64) -> T {
    let base = all.len() as u64;
    let digit = usize::try_from(*rest % base).unwrap_or_default();
    *rest /= base;
    all[digit]
}

fn pick_named<T: Copy>(all: &[T], names: &[&str], wanted: &str) -> Option<T> {
    all.iter().zip(names).find_map(|(value, name)| (*name == wanted).then_some(*value))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_draw_every_dialect_once_then_start_over() {
        let all: HashSet<Dialect> = Dialect::all().collect();
        assert_eq!(all.len() as u64, Dialect::COUNT);
        assert_eq!((Dialect::nth(0), Dialect::nth(Dialect::COUNT)), (Dialect::default(), Dialect::default()));
        assert_eq!(Dialect::nth(Dialect::COUNT + 3), Dialect::nth(3));
    }

    #[test]
    fn each_alone_has_every_value_of_every_setting() {
        let values = Dialect::SETTINGS.iter().map(|(_, values)| values.len() - 1).sum::<usize>();
        let each: HashSet<Dialect> = Dialect::each_alone().collect();
        assert_eq!(each.len(), values + 1);
        assert!(each.iter().all(|dialect| dialect.to_string().matches('=').count() <= 1));
    }

    #[test]
    fn text_of_every_dialect_parses_to_it() {
        assert!(Dialect::all().all(|dialect| dialect.to_string().parse() == Ok(dialect)));
        assert_eq!(Dialect::default().to_string(), "default");
        assert_eq!("".parse(), Ok(Dialect::default()));
    }

    #[test]
    fn unknown_names_are_refused_with_known_ones() {
        let refused = |text: &str| text.parse::<Dialect>().unwrap_err().to_string();
        assert!(refused("absent=failed").starts_with("unknown setting `absent`, expected one of delete-operations, "));
        let expected = "absent-key cannot be `gone`, expected one of not-found, succeeded, failed, no-operations";
        assert_eq!(refused("missing-bucket=invalid-input, absent-key=gone"), expected);
        assert!(refused("absent-key").starts_with("`absent-key` is not a setting with a value"));
    }
}
