use std::sync::Mutex;

use super::*;

#[derive(Clone, Default)]
struct Out(Arc<Mutex<Vec<u8>>>);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn entry(path: &str) -> Entry<'_> {
    Entry {
        time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_500),
        direction: "outbound",
        method: "GET",
        path,
        authority: "api",
        status: 503,
        duration_ms: Duration::from_micros(1_250),
        body_bytes: 7,
        tls: true,
        peer: Some("spiffe://cluster.local/ns/default/sa/api"),
        local: None,
        destination: Some("default/api:80"),
        route: Some("default"),
        endpoint: None,
        tries: Some(2),
        fallback: None,
        fault: Some(Fault::Overflow),
        reason: Some(Fault::Overflow.reason()),
        audit: None,
        injected: None,
    }
}

fn written(level: Level, tell: impl FnOnce(&AccessLog)) -> Vec<serde_json::Value> {
    let out = Out::default();
    let (log, writer) = AccessLog::start(level, out.clone()).unwrap();
    tell(&log);
    drop(log);
    writer.join().unwrap();
    let bytes = out.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_line_is_an_object_whatever_the_caller_sent() {
    let lines = written(Level::All, |log| log.tell(&entry("/a\"b\n{\u{7f}")));
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    assert_eq!(line["url.path"], "/a\"b\n{\u{7f}");
    assert_eq!(line["time"], "1970-01-01T00:00:01.500000Z");
    assert_eq!(line["duration_ms"], 1.25);
    assert_eq!(line["fault"], "overflow");
    assert_eq!(line["peer.spiffe"], "spiffe://cluster.local/ns/default/sa/api");
    assert!(line.get("local.spiffe").is_none());
}

#[test]
fn levels_choose_what_is_told() {
    let wants = |level, status, fault, audited| {
        let (log, _) = AccessLog::start(level, io::sink()).unwrap();
        log.wants(status, fault, audited)
    };
    assert!(!wants(Level::Off, 503, Some(Fault::Overflow), false));
    assert!(wants(Level::Errors, 500, None, false));
    assert!(wants(Level::Errors, 404, Some(Fault::NoRoute), false));
    assert!(!wants(Level::Errors, 404, None, false));
    assert!(wants(Level::All, 200, None, false));
    assert!(wants(Level::Errors, 200, None, true), "what audit found");
    assert!(!wants(Level::Off, 200, None, true));
}

#[test]
fn all_lines_arrive_in_order() {
    let lines = written(Level::All, |log| {
        for n in 0..1_000 {
            log.tell(&entry(&format!("/{n}")));
        }
    });
    let paths: Vec<_> = lines.iter().map(|line| line["url.path"].as_str().unwrap().to_owned()).collect();
    assert_eq!(paths, (0..1_000).map(|n| format!("/{n}")).collect::<Vec<_>>());
}

#[test]
fn whoever_shows_what_was_lost_does_not_keep_the_log_open() {
    let (log, writer) = AccessLog::start(Level::All, io::sink()).unwrap();
    let dropped = log.dropped();
    drop(log);
    writer.join().unwrap();
    assert_eq!(dropped.load(Relaxed), 0);
}
