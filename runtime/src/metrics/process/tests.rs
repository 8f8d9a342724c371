use std::{
    fs::File,
    time::{SystemTime, UNIX_EPOCH},
};

use super::*;

const STAT: &str = "42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 12345 3133440 390 0";
const STATUS: &str = "Name:\tproxy\nVmSize:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t3\n";
const SYSTEM: &str = "cpu  1 2 3\nbtime 1700000000\nprocesses 7\n";

#[test]
fn reads_what_the_manual_describes() {
    let expected = Sample {
        cpu_seconds: Some(3.0),
        open_fds: None,
        resident_bytes: Some(1_048_576.0),
        virtual_bytes: Some(2_097_152.0),
        threads: Some(3.0),
        start_seconds: Some(1_700_000_123.45),
    };
    assert_eq!(Sample::parse(STAT, STATUS, SYSTEM), expected);
}

#[test]
fn what_cannot_be_read_is_absent() {
    assert_eq!(Sample::parse("", "", ""), Sample::default());
    assert_eq!(Sample::parse("42 (proxy", "VmRSS:\n", "btime soon"), Sample::default());
}

#[test]
fn this_process_is_plausible() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let sample = Sample::take();
    assert!(sample.resident_bytes.unwrap() > 100_000.0, "{sample:?}");
    assert!(sample.virtual_bytes >= sample.resident_bytes, "{sample:?}");
    assert!(sample.threads.unwrap() >= 1.0, "{sample:?}");
    // Started after the machine and before now, but for the second that the boot time is rounded by.
    assert!((now - 86_400.0..=now + 1.0).contains(&sample.start_seconds.unwrap()), "{sample:?}, now {now}");
}

#[test]
fn open_descriptors_are_counted() {
    // Other tests open a few meanwhile, but not hundreds.
    let before = Sample::take().open_fds.unwrap();
    let files: Vec<_> = (0..600).map(|_| File::open("/dev/null").unwrap()).collect();
    let during = Sample::take().open_fds.unwrap();
    assert!(during - before >= 300.0, "{before} then {during}, {} opened", files.len());
}

#[test]
fn every_row_is_collected() {
    let process = Process::new();
    let families = process.collect();
    let names: Vec<_> = families.iter().map(MetricFamily::name).collect();
    assert_eq!(names, ROWS.map(|(name, ..)| name));
    assert_eq!(process.desc().len(), ROWS.len());
}
