//! How every AWS client is built.

pub mod failure;
pub mod lightsail;

mod dns;
mod retry;
mod tls;
mod transmission;

pub use failure::{Failure, FailureKind};
pub use lightsail::HttpClient;
pub(crate) use lightsail::client_config;
pub use retry::Unreadable;
pub(crate) use tls::http_client;
pub use transmission::Wire;
