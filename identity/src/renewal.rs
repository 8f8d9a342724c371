//! When to ask for the next certificate.

use std::time::Duration;

/// How long to wait with a certificate that is good for `remaining` from now: 40 to 60 % of that, by `unit`
/// from [0, 1). Half of a life leaves the other half to get through an outage of the control plane; the
/// spread keeps workloads that started together from asking together for ever.
///
/// What counts is the life that remained when the certificate arrived, not the one written in it:
/// certificates begin in the past (see [`crate::authority::BACKDATED`]), and of a very short one that part
/// would be most.
pub fn renew_in(remaining: Duration, unit: f64) -> Duration {
    // `mul_f64` panics on what is not a number.
    let unit = if unit.is_nan() { 0.0 } else { unit.clamp(0.0, 1.0) };
    remaining.mul_f64(0.4 + 0.2 * unit)
}

#[cfg(test)]
mod tests;
