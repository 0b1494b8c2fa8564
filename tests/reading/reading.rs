//! The reading half of the function, by the paths of its files and nothing else.

// An inline module for the sake of its path: `incident` finds its own files below it.
#[path = "../../src"]
mod half {
    pub mod envelope;
    pub mod incident;
    pub mod names;
    pub mod plain_text;
}

pub use half::{envelope, incident, names, plain_text};
