//! Whether there is memory for what comes: near to its limit a sidecar refuses what is new, so that what it has begun can
//! end. The kernel would end all of it.

// How much there is, and how much of it is taken.
mod memory;
// The control group that bounds it.
mod group;

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use arc_swap::ArcSwap;
use rand::Rng;
use tokio::sync::watch;

use crate::telemetry::Direction;
pub use memory::{Measured, Meter, give_back};

/// From so much of the limit on, in percent, some of what comes in is refused, until less than the other is taken: what
/// hovers around a bound would otherwise change everything with each measurement.
const SOME_PERCENT: u64 = 85;
const SOME_ENDS_PERCENT: u64 = 80;
/// From so much on everything is, and until less than the other is taken.
const ALL_PERCENT: u64 = 92;
const ALL_ENDS_PERCENT: u64 = 88;
/// The least that is refused of what comes in, while any is.
const SHARE_MIN: u32 = 100;
/// How often memory is measured: a sidecar that gets ten thousand connections a second, of 10 KiB each, takes 10 MiB
/// meanwhile.
const TICK: Duration = Duration::from_millis(100);

/// How much of what is new is refused, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

/// How near a process is to its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// Nothing is refused.
    None,
    /// Some of what comes in is refused. What has come in may still call others.
    Some,
    /// Everything new is refused, both ways.
    All,
}

impl Share {
    const ALL: Self = Self(1_000);

    /// What is refused from now on, where this was and `measured` is.
    #[must_use]
    pub fn next(self, measured: Measured) -> Self {
        let Measured { used, limit } = measured;
        let reaches = |percent: u64| u128::from(used) * 100 >= u128::from(limit) * u128::from(percent);
        let all = if self.pressure() == Pressure::All { ALL_ENDS_PERCENT } else { ALL_PERCENT };
        let some = if self.pressure() == Pressure::None { SOME_PERCENT } else { SOME_ENDS_PERCENT };
        if reaches(all) {
            Self::ALL
        } else if reaches(some) {
            // In proportion to how far the way is gone from the one bound to the other.
            let way = u128::from(limit) * u128::from(ALL_PERCENT - SOME_PERCENT);
            let gone = (u128::from(used) * 100).saturating_sub(u128::from(limit) * u128::from(SOME_PERCENT));
            let share = u32::try_from(gone * 1_000 / way.max(1)).unwrap_or(u32::MAX);
            Self(share.clamp(SHARE_MIN, Self::ALL.0 - 1))
        } else {
            Self(0)
        }
    }

    /// The same, as people speak of it.
    pub fn pressure(self) -> Pressure {
        match self {
            Self(0) => Pressure::None,
            Self::ALL => Pressure::All,
            Self(_) => Pressure::Some,
        }
    }

    /// Whether one that goes this way is refused. What has come in already is worth more than what comes: only inbound
    /// ones are refused while some are.
    fn refuses(self, direction: Direction, random: &mut impl Rng) -> bool {
        match self.pressure() {
            Pressure::None => false,
            Pressure::Some => direction == Direction::Inbound && random.random_range(0..Self::ALL.0) < self.0,
            Pressure::All => true,
        }
    }
}

/// What all workers know of the memory of their process.
#[derive(Debug)]
pub struct Overload {
    pressure: watch::Sender<Pressure>,
    last: ArcSwap<State>,
    /// Connections that were not taken because the process had no descriptor for them.
    pub without_descriptor: AtomicU64,
}

/// What was seen when memory was last measured.
#[derive(Clone, Debug, Default)]
pub struct State {
    share: Share,
    /// `None`: there is no limit.
    pub measured: Option<Measured>,
    /// Why anything is refused, in words.
    pub words: Option<Arc<str>>,
}

impl Default for Overload {
    fn default() -> Self {
        Self {
            pressure: watch::Sender::new(Pressure::None),
            last: ArcSwap::default(),
            without_descriptor: AtomicU64::new(0),
        }
    }
}

impl Overload {
    /// Whether a new request or connection is to be refused, and if so, why, in words.
    pub fn refuses(&self, direction: Direction, random: &mut impl Rng) -> Option<Arc<str>> {
        let state = self.last.load();
        state.share.refuses(direction, random).then(|| state.words.clone().unwrap_or_default())
    }

    /// How near the process is to its limit.
    pub fn pressure(&self) -> Pressure {
        self.last.load().share.pressure()
    }

    /// Resolves once memory has become scarce from now on.
    pub async fn begins(&self) {
        let mut pressure = self.pressure.subscribe();
        let calm = pressure.wait_for(|pressure| *pressure == Pressure::None).await.is_ok();
        let ends = calm && pressure.wait_for(|pressure| *pressure != Pressure::None).await.is_ok();
        if !ends {
            // Only with all of this does the sender go.
            std::future::pending::<()>().await;
        }
    }

    /// What was seen when memory was last measured.
    pub fn state(&self) -> Arc<State> {
        self.last.load_full()
    }

    /// Takes in what was measured.
    pub fn take(&self, measured: Measured) {
        let before = self.last.load().share;
        let share = before.next(measured);
        let words = (share.pressure() != Pressure::None).then(|| measured.to_string().into());
        self.last.store(Arc::new(State { share, measured: Some(measured), words }));
        if share.pressure() == before.pressure() {
            return;
        }
        match share.pressure() {
            Pressure::None => tracing::info!("{measured}: nothing is refused any more"),
            Pressure::Some => tracing::warn!("{measured}: a share of what comes in is refused"),
            Pressure::All => tracing::warn!("{measured}: everything new is refused"),
        }
        self.pressure.send_replace(share.pressure());
    }
}

/// Measures for ever.
pub async fn watch(meter: Meter, overload: Arc<Overload>) {
    let mut broken = false;
    loop {
        match meter.measure() {
            Ok(measured) => {
                broken = false;
                overload.take(measured);
            }
            // What was last known stays; said once, and not ten times a second.
            Err(error) if !broken => {
                broken = true;
                tracing::warn!(%error, "cannot measure memory; what was last known stays in force");
            }
            Err(_) => {}
        }
        if overload.pressure() != Pressure::None {
            give_back();
        }
        tokio::time::sleep(TICK).await;
    }
}

#[cfg(test)]
mod tests;
