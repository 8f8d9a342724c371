use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use super::*;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn written(format: Format, filter: &str, events: impl FnOnce()) -> String {
    let sink = Sink::default();
    let writer = sink.clone();
    let log = dispatch("weft-proxy", format, parse(filter).unwrap(), false, move || writer.clone());
    dispatcher::with_default(&log, events);
    let bytes = sink.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn json_is_one_object_a_line_whatever_the_event_holds() {
    let text = written(Format::Json, "info", || {
        let span = tracing::info_span!("connection", peer = "a\"\n{");
        let _inside = span.enter();
        tracing::info!(host = "x\"}\n{\"level\":\"ERROR\"", "first\nline");
        tracing::warn!("second");
    });
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!(lines[0]["program"], "weft-proxy");
    assert_eq!(lines[0]["level"], "INFO");
    assert_eq!(lines[0]["message"], "first\nline");
    assert_eq!(lines[0]["host"], "x\"}\n{\"level\":\"ERROR\"");
    assert_eq!(lines[0]["span"]["peer"], "a\"\n{");
    assert_eq!(lines[1]["level"], "WARN");
}

#[test]
fn text_begins_with_the_program() {
    let text = written(Format::Text, "info", || tracing::info!(port = 4143, "listening"));
    assert!(text.starts_with("weft-proxy "), "{text}");
    assert!(text.contains("INFO") && text.ends_with("listening port=4143\n"), "{text}");
}

#[test]
fn the_filter_decides_by_level_and_target() {
    let events = || {
        tracing::debug!(target: "breaker", "kept");
        tracing::debug!(target: "other", "left out");
        tracing::info!(target: "other", "kept");
    };
    assert_eq!(written(Format::Text, "info,breaker=debug", events).matches("kept").count(), 2);
    assert_eq!(written(Format::Text, "", events).matches("kept").count(), 1);
    assert_eq!(written(Format::Text, "off", events), "");
}

#[test]
fn a_filter_that_cannot_be_understood_is_refused_with_advice() {
    let error = init("weft-proxy", Format::Json, "proxy=loud").unwrap_err().to_string();
    assert!(error.starts_with("log filter `proxy=loud`: "), "{error}");
    assert!(error.contains("write a level"), "{error}");
}

#[test]
fn a_misspelt_level_is_noticed_before_it_reaches_another_process() {
    for fine in ["", "info", "DEBUG", "off", "info,weft_proxy::breaker=debug", "weft_proxy=trace, warn"] {
        assert!(check(fine).is_ok(), "{fine}");
    }
    for wrong in ["loud", "info,weft_proxy", "weft_proxy=loud", "x y"] {
        let error = check(wrong).unwrap_err().to_string();
        assert!(error.contains(wrong), "{error}");
    }
}
