//! Which traces are told at all, by their ids alone: so all who ask with the same ratio get the same answer.

/// Bits of a trace id that are random by the W3C's rules (Trace Context Level 2, 3.2.2.5.2): those on the right.
const RANDOM_BITS: u32 = 56;

/// Takes a share of all traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// Traces whose random bits are below it are not taken: as OpenTelemetry's consistent sampling has it.
    threshold: u64,
}

impl Sampler {
    /// Takes `ratio` of all traces, 0 to 1.
    pub fn new(ratio: f64) -> Self {
        let all = 1_u64 << RANDOM_BITS;
        // Exact for 0 and 1, and everything between is one.
        Self { threshold: all - (ratio.clamp(0.0, 1.0) * all as f64) as u64 }
    }

    /// Whether the trace with this id is told.
    pub fn takes(self, trace: u128) -> bool {
        let random = trace as u64 & ((1 << RANDOM_BITS) - 1);
        random >= self.threshold
    }
}

#[cfg(test)]
mod tests;
