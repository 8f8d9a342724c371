//! Durations: those of the wire and those of Rust.

use crate::generated::google::protobuf;

/// The most that `google.protobuf.Duration` may hold: about 10,000 years.
const SECONDS_MAX: i64 = 315_576_000_000;

/// A duration that is none: negative, longer than 10,000 years, or with more nanoseconds than a second has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{seconds} s and {nanos} ns are no duration: both must be at least 0, and less than 10,000 years and 1 s"
)]
pub struct InvalidDuration {
    /// Whole seconds, as read.
    pub seconds: i64,
    /// Nanoseconds beyond them, as read.
    pub nanos: i32,
}

impl From<std::time::Duration> for protobuf::Duration {
    /// Saturates at the most that the message may hold.
    fn from(duration: std::time::Duration) -> Self {
        match i64::try_from(duration.as_secs()) {
            Ok(seconds) if seconds < SECONDS_MAX => {
                Self { seconds, nanos: duration.subsec_nanos().cast_signed() }
            }
            _ => Self { seconds: SECONDS_MAX, nanos: 0 },
        }
    }
}

impl TryFrom<protobuf::Duration> for std::time::Duration {
    type Error = InvalidDuration;

    fn try_from(duration: protobuf::Duration) -> Result<Self, InvalidDuration> {
        let protobuf::Duration { seconds, nanos } = duration;
        let invalid = InvalidDuration { seconds, nanos };
        if seconds > SECONDS_MAX || nanos > 999_999_999 {
            return Err(invalid);
        }
        let seconds = u64::try_from(seconds).map_err(|_| invalid)?;
        let nanos = u32::try_from(nanos).map_err(|_| invalid)?;
        Ok(Self::new(seconds, nanos))
    }
}

#[cfg(test)]
mod tests;
