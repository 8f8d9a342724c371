//! What the person who runs the tests chooses: the one reader of the environment.

/// Whether tests that need root must run: `WEFT_ROOT_TESTS=1`. Otherwise they say that they were skipped.
pub fn root_tests() -> bool {
    #[expect(clippy::disallowed_methods, reason = "this module reads the environment for the others")]
    std::env::var("WEFT_ROOT_TESTS").is_ok_and(|value| value == "1")
}
