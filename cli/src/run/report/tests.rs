use std::time::Duration;

use super::*;

fn process(event: child::Event) -> Vec<String> {
    lines(&Event::Process("frontend-proxy".to_owned(), event))
}

#[test]
fn a_restart_is_told_with_its_reason_and_its_pause() {
    let ended = child::Event::Ended("ended: signal: 9 (SIGKILL)".to_owned(), Duration::from_millis(200));
    assert_eq!(process(ended), ["frontend-proxy ended: signal: 9 (SIGKILL); starting it again in 200 ms"]);
    assert_eq!(process(child::Event::Started(7)), ["frontend-proxy started, pid 7"]);
    assert_eq!(process(child::Event::Ready), Vec::<String>::new());
}
