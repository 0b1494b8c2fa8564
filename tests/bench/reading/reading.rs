//! The parsing modules of the function, compiled by their paths.

// The inline module sets the directory in which `alert` finds its files.
#[path = "../../../src"]
mod half {
    pub mod alert;
    pub mod names;
    pub mod safe_text;
}

pub use half::{alert, names, safe_text};
