use std::io::Write;

use super::*;

#[test]
fn what_is_resident_of_this_process_is_measured_against_the_limit_that_is_set() {
    let meter = Meter::new(Some(Bytes::mebi(64))).unwrap().expect("there is a limit");
    let first = meter.measure().unwrap();
    assert_eq!(first.limit, 64 << 20);
    assert!(first.used > 1 << 20, "a test takes more than a MiB: {first:?}");
    let block = vec![1_u8; 32 << 20];
    let second = meter.measure().unwrap();
    assert!(second.used > first.used + (16 << 20), "{first:?}, then {second:?}");
    drop(block);
}

fn file(text: &str) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn group(version: Version, usage: &str, stat: &str, limit: &str) -> io::Result<Measured> {
    Meter::Group { version, usage: file(usage), stat: file(stat), limit: file(limit) }.measure()
}

#[test]
fn of_what_a_group_has_taken_the_idle_pages_of_files_do_not_count() {
    let one = "cache 1\ninactive_file 7\ntotal_inactive_file 300\n";
    let two = "anon 1\ninactive_file 300\nactive_file 5\n";
    for (version, stat) in [(Version::One, one), (Version::Two, two)] {
        assert_eq!(group(version, "1000\n", stat, "2000\n").unwrap(), Measured { used: 700, limit: 2000 });
        assert_eq!(group(version, "100\n", stat, "2000\n").unwrap().used, 0, "counted at another moment");
        assert_eq!(group(version, "1000\n", "", "max\n").unwrap(), Measured { used: 1000, limit: u64::MAX });
        let error = group(version, "many\n", stat, "2000\n").unwrap_err().to_string();
        assert_eq!(error, format!("{} does not say how much memory is in use", version.usage()));
    }
}
