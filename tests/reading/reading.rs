//! The reading half of the function, by the paths of its files and nothing else.

// An inline module for the sake of its path: `alert` finds its own files below it.
#[path = "../../src"]
mod half {
    pub mod alert;
    pub mod names;
    pub mod safe_text;
}

pub use half::{alert, names, safe_text};
