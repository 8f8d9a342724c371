//! Copies of requests, for somebody whose answers nobody waits for.

use serde::Deserialize;

use super::super::BackendRef;
use crate::violation::Violation;

/// Who gets copies, and of how many requests.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mirror {
    /// Who gets them. It has neither a weight nor filters.
    pub backend_ref: BackendRef,
    /// Of so many in a hundred, 0 to 100. Absent, and no fraction: of all.
    percent: Option<u32>,
    /// Of so many in so many.
    fraction: Option<Fraction>,
}

/// A part of all requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fraction {
    /// Of so many,
    pub numerator: u32,
    /// in so many. Default 100.
    #[serde(default = "hundred")]
    pub denominator: u32,
}

impl Mirror {
    /// Of how many requests in a million.
    pub fn parts_per_million(&self) -> u32 {
        let Fraction { numerator, denominator } = match (self.percent, self.fraction) {
            (Some(percent), _) => Fraction { numerator: percent, denominator: 100 },
            (None, Some(fraction)) => fraction,
            (None, None) => return 1_000_000,
        };
        let parts = u64::from(numerator) * 1_000_000 / u64::from(denominator.max(1));
        u32::try_from(parts.min(1_000_000)).expect("a million fits into 32 bits")
    }

    pub(super) fn validate(&self, at: &str) -> Result<(), Violation> {
        if self.percent.is_some() && self.fraction.is_some() {
            return Err(Violation::new(format!("{at}.fraction"), "cannot stand beside percent"));
        }
        if let Some(percent) = self.percent.filter(|percent| *percent > 100) {
            let rule = format!("is {percent}; it must be within 0 to 100");
            return Err(Violation::new(format!("{at}.percent"), rule));
        }
        if let Some(Fraction { numerator, denominator }) = self.fraction
            && (denominator == 0 || numerator > denominator)
        {
            let rule = format!("is {numerator} in {denominator}; it must be within 0 and 1");
            return Err(Violation::new(format!("{at}.fraction"), rule));
        }
        if self.backend_ref.weight != 1 || !self.backend_ref.filters.is_empty() {
            let rule = "names one backend, which has neither a weight nor filters here";
            return Err(Violation::new(format!("{at}.backendRef"), rule));
        }
        Ok(())
    }
}

fn hundred() -> u32 {
    100
}
