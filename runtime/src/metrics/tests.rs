use std::collections::HashMap;

use prometheus::{IntCounter, core::Desc, proto::MetricFamily};

use super::*;

/// Answers with a family that the text format cannot carry.
struct Faulty(Desc);

impl Collector for Faulty {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut family = IntCounter::new("faulty", "Broken.").unwrap().collect();
        family[0].set_name(String::new());
        family
    }
}

#[test]
fn says_which_program_it_is() {
    let text = Registry::new("proxy").encode();
    let line = format!(r#"weft_build_info{{program="proxy",version="{}"}} 1"#, env!("CARGO_PKG_VERSION"));
    assert!(text.lines().any(|found| found == line), "{text}");
}

#[test]
fn encodes_what_is_registered_as_it_is_now() {
    let registry = Registry::new("proxy");
    let requests = IntCounter::new("requests_total", "Requests.").unwrap();
    registry.register(Box::new(requests.clone())).unwrap();
    requests.inc_by(7);
    let text = registry.clone().encode();
    assert!(text.contains("# TYPE requests_total counter\nrequests_total 7\n"), "{text}");
}

#[test]
fn refuses_a_name_twice() {
    let registry = Registry::new("proxy");
    let counter = IntCounter::new("requests_total", "Requests.").unwrap();
    registry.register(Box::new(counter.clone())).unwrap();
    assert!(registry.register(Box::new(counter)).is_err());
}

#[test]
fn a_faulty_collector_hides_no_other() {
    let registry = Registry::new("proxy");
    let desc = Desc::new("faulty".to_owned(), "Broken.".to_owned(), Vec::new(), HashMap::new()).unwrap();
    registry.register(Box::new(Faulty(desc))).unwrap();
    let text = registry.encode();
    assert!(text.contains("weft_build_info") && text.contains("process_open_fds"), "{text}");
    assert!(!text.contains("Broken"), "{text}");
}
