//! One thing that must hold, as expected and as measured.

use std::time::Duration;

use super::arithmetic;

/// One thing that must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is looked at.
    pub what: String,
    /// What must come out.
    pub expected: String,
    /// What came out.
    pub measured: String,
    /// How far the two may be apart; empty where they must be the same.
    pub tolerance: String,
    /// Whether it holds.
    pub holds: bool,
}

impl Check {
    /// `count` of `of` requests: the share must be `expected`, give or take four standard errors.
    pub fn share(what: &str, count: u64, of: u64, expected: f64) -> Self {
        let tolerance = arithmetic::share_tolerance(expected, of);
        let measured = if of == 0 { f64::NAN } else { count as f64 / of as f64 };
        Self {
            what: what.to_owned(),
            expected: percent(expected),
            measured: percent(measured),
            tolerance: if tolerance == 0.0 { String::new() } else { format!("± {}", percent(tolerance)) },
            // NaN is near nothing.
            holds: (measured - expected).abs() <= tolerance,
        }
    }

    /// `tries` reached the API for `requests` of users, when each try fails with probability `p` and is followed by up
    /// to `retries` more.
    pub fn load(tries: u64, requests: u64, p: f64, retries: u32) -> Self {
        let expected = arithmetic::tries(p, retries);
        let tolerance = arithmetic::tries_tolerance(p, retries, requests);
        let measured = if requests == 0 { f64::NAN } else { tries as f64 / requests as f64 };
        Self {
            what: "load on the API".to_owned(),
            expected: times(expected),
            measured: times(measured),
            tolerance: if tolerance == 0.0 { String::new() } else { format!("± {}", times(tolerance)) },
            holds: (measured - expected).abs() <= tolerance,
        }
    }

    /// A count that must be exactly this.
    pub fn exactly(what: &str, expected: u64, measured: u64) -> Self {
        Self::fact(what, expected.to_string(), measured.to_string(), expected == measured)
    }

    /// A count that may be this at most.
    pub fn at_most(what: &str, most: u64, measured: u64) -> Self {
        Self::fact(what, format!("at most {most}"), measured.to_string(), measured <= most)
    }

    /// A time that may be this at most; none: it never happened, or was not seen.
    pub fn within(what: &str, most: Duration, measured: Option<Duration>) -> Self {
        let holds = measured.is_some_and(|measured| measured <= most);
        let measured = measured.map_or_else(|| "never".to_owned(), time);
        Self::fact(what, format!("within {}", time(most)), measured, holds)
    }

    /// Anything else, in words.
    pub fn fact(what: &str, expected: impl Into<String>, measured: impl Into<String>, holds: bool) -> Self {
        Self {
            what: what.to_owned(),
            expected: expected.into(),
            measured: measured.into(),
            tolerance: String::new(),
            holds,
        }
    }
}

/// A share as people read it.
pub(crate) fn percent(share: f64) -> String {
    if share.is_nan() { "no requests".to_owned() } else { format!("{:.1} %", share * 100.0) }
}

/// A factor as people read it.
pub(crate) fn times(factor: f64) -> String {
    if factor.is_nan() { "no requests".to_owned() } else { format!("{factor:.2}x") }
}

/// A short time as people read it.
pub(crate) fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        s if s >= 1.0 => format!("{s:.1} s"),
        s if s >= 0.01 => format!("{:.0} ms", s * 1e3),
        s => format!("{:.1} ms", s * 1e3),
    }
}

#[cfg(test)]
mod tests;
