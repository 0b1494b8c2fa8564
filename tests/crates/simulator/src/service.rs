//! The two services that share the front door: tells from a request which of them it speaks to,
//! and so which protocol it has to be answered in.
//!
//! The content type decides and nothing else, since even a request without a signature has to
//! be refused in a way that its client can read.

/// A service of AWS that is simulated here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// JSON 1.1.
    Lightsail,
    /// Query: a form goes in, XML comes out.
    Sts,
}

impl Service {
    /// A form is for STS. What is of neither type is refused as Lightsail does.
    pub(crate) fn of(content_type: Option<&str>) -> Self {
        let form = content_type
            .and_then(|found| found.split(';').next())
            .is_some_and(|found| found.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"));
        if form { Self::Sts } else { Self::Lightsail }
    }

    /// `endpointPrefix` in the metadata of botocore's models, for which requests are signed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lightsail => "lightsail",
            Self::Sts => "sts",
        }
    }
}
