//! What the request path pays for policy, as code that a benchmark times and a test counts allocations of.

// Rounds of a measurement, and what they come to.
pub mod measure;
// What one request passes while all is well.
pub mod policy;
