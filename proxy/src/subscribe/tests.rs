use super::*;

#[test]
fn pauses_double_up_to_half_a_minute_and_are_never_none() {
    for (failures, most_ms) in
        [(0, 1_000), (1, 2_000), (4, 16_000), (5, 30_000), (31, 30_000), (u32::MAX, 30_000)]
    {
        assert_eq!(reconnect_pause(failures, 0.0), RECONNECT_MIN, "{failures}");
        let most = reconnect_pause(failures, 1.0);
        assert_eq!(most, Duration::from_millis(most_ms), "{failures}");
    }
}
