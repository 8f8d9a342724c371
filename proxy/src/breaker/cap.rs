//! How many endpoints of a target may be ejected at once, and who is readmitted first.

use std::{collections::BTreeMap, time::Instant};

/// How many of `endpoints` may be ejected at once: `percent` of them rounded down, but at least one of two or more, and
/// never all, for then requests could only fail: that is why no panic mode is needed. `percent` 0 = none.
pub fn allowed(endpoints: usize, percent: u32) -> usize {
    if percent == 0 || endpoints < 2 {
        return 0;
    }
    let share = endpoints as u128 * u128::from(percent) / 100;
    // The share is at most as large as the bound it is clamped to, hence fits.
    share.clamp(1, endpoints as u128 - 1) as usize
}

/// The endpoints of one target and which of them are ejected. After every operation at most [`allowed`] are.
#[derive(Debug)]
pub struct Cap {
    percent: u32,
    /// By endpoint: until when it is ejected, if it is.
    endpoints: BTreeMap<u64, Option<Instant>>,
}

impl Cap {
    /// No endpoints; at most `percent` of them may be ejected.
    pub fn new(percent: u32) -> Self {
        Self { percent, endpoints: BTreeMap::new() }
    }

    /// An endpoint joins, ejected until `until` already if it was seen failing before. `false`: there is no room for
    /// that, so it has to be readmitted.
    #[must_use = "an endpoint without room has to be readmitted"]
    pub fn add(&mut self, endpoint: u64, until: Option<Instant>) -> bool {
        self.endpoints.insert(endpoint, None);
        until.is_none_or(|until| self.eject(endpoint, until))
    }

    /// An endpoint leaves. Returns those that have to be readmitted because fewer are left.
    #[must_use = "these endpoints have to be readmitted"]
    pub fn remove(&mut self, endpoint: u64) -> Vec<u64> {
        self.endpoints.remove(&endpoint);
        self.readmit()
    }

    /// Another percentage. Returns those that have to be readmitted.
    #[must_use = "these endpoints have to be readmitted"]
    pub fn set_percent(&mut self, percent: u32) -> Vec<u64> {
        self.percent = percent;
        self.readmit()
    }

    /// Ejects an endpoint until `until`, or longer if it is ejected already. `false`: there is no room. An endpoint
    /// that has left is nobody's loss: yes, and not counted.
    pub fn eject(&mut self, endpoint: u64, until: Instant) -> bool {
        let room = self.ejected() < allowed(self.endpoints.len(), self.percent);
        let Some(ejected) = self.endpoints.get_mut(&endpoint) else { return true };
        if ejected.is_none() && !room {
            return false;
        }
        *ejected = Some(until);
        true
    }

    /// An endpoint serves again.
    pub fn admit(&mut self, endpoint: u64) {
        if let Some(ejected) = self.endpoints.get_mut(&endpoint) {
            *ejected = None;
        }
    }

    /// How many are ejected now.
    pub fn ejected(&self) -> usize {
        self.endpoints.values().flatten().count()
    }

    /// Takes out who is ejected over the bound, whoever is due first before the others.
    fn readmit(&mut self) -> Vec<u64> {
        let excess = self.ejected().saturating_sub(allowed(self.endpoints.len(), self.percent));
        if excess == 0 {
            return Vec::new();
        }
        let mut ejected: Vec<_> =
            self.endpoints.iter().filter_map(|(&endpoint, until)| Some(((*until)?, endpoint))).collect();
        ejected.sort_unstable();
        ejected.truncate(excess);
        let readmitted: Vec<_> = ejected.into_iter().map(|(_, endpoint)| endpoint).collect();
        for &endpoint in &readmitted {
            self.admit(endpoint);
        }
        readmitted
    }
}

#[cfg(test)]
mod tests;
