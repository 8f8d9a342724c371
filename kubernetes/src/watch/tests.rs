// An API server that answers by a script.
mod double;

use serde_json::json;
use tokio::time;

use super::*;
use double::{Answer, Double};

const PODS: Resource<&str> = Resource { kind: "pods", path: "/api/v1/pods", field_selector: "" };

/// What is told of pods.
type Told = (&'static str, Change<(String, String)>);

/// Names and versions are all that these tests tell objects by.
#[expect(clippy::needless_pass_by_value, reason = "readers may keep what they are given")]
fn read(object: Value) -> (String, String) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("name"), text("resourceVersion"))
}

fn pod(name: &str, version: u32) -> Value {
    json!({ "metadata": { "name": name, "resourceVersion": version.to_string() } })
}

fn known(name: &str, version: u32) -> (String, String) {
    (name.to_owned(), version.to_string())
}

fn page(version: u32, next: &str, pods: &[Value]) -> Answer {
    let metadata = json!({ "resourceVersion": version.to_string(), "continue": next });
    Answer::of(200, &json!({ "metadata": metadata, "items": pods }))
}

fn event(kind: &str, object: &Value) -> Value {
    json!({ "type": kind, "object": object })
}

fn gone() -> Value {
    json!({ "kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version" })
}

/// The changes that follow from `answers`, as many as are asked for, and the requests until then.
async fn changes(answers: Vec<Answer>, count: usize) -> (Vec<Change<(String, String)>>, Vec<String>) {
    let double = Double::start(answers).await;
    let (sender, mut receiver) = mpsc::channel::<Told>(16);
    let api = double.api().await;
    let mut found = Vec::new();
    let following = async {
        follow(&api, &PODS, read, &sender).await;
        unreachable!("it goes on for as long as somebody listens");
    };
    let listening = async {
        while found.len() < count {
            let (kind, change) = receiver.recv().await.unwrap();
            assert_eq!(kind, "pods");
            found.push(change);
        }
    };
    tokio::select! {
        () = following => {}
        () = listening => {}
    }
    (found, double.requests())
}

/// What a request asks for beside the path; the time at random is left out.
fn query(request: &str) -> String {
    let (_, query) = request.split_once('?').unwrap();
    let said = query.split('&').filter(|part| !part.starts_with("timeoutSeconds"));
    said.collect::<Vec<_>>().join("&")
}

#[tokio::test]
async fn a_list_of_several_pages_is_followed_by_what_changes() {
    let watch = Answer::events(&[
        event("ADDED", &pod("c", 8)),
        event("MODIFIED", &pod("a", 9)),
        event("BOOKMARK", &json!({ "metadata": { "resourceVersion": "20" } })),
        event("DELETED", &pod("b", 21)),
    ]);
    let answers = vec![page(5, "more&", &[pod("a", 1)]), page(7, "", &[pod("b", 2)]), watch.held()];
    let (changes, requests) = changes(answers, 4).await;
    let expected = [
        Change::Listed(vec![known("a", 1), known("b", 2)]),
        Change::Applied(known("c", 8)),
        Change::Applied(known("a", 9)),
        Change::Removed(known("b", 21)),
    ];
    assert_eq!(changes, expected);
    let queries: Vec<_> = requests.iter().map(|request| query(request)).collect();
    let watch = "watch=true&allowWatchBookmarks=true&resourceVersion=7";
    assert_eq!(queries, ["limit=250", "limit=250&continue=more%26", watch]);
}

#[tokio::test]
async fn a_watch_that_ends_or_breaks_goes_on_from_the_last_version() {
    let bookmark = event("BOOKMARK", &json!({ "metadata": { "resourceVersion": "8" } }));
    let answers = vec![
        page(7, "", &[]),
        Answer::events(&[bookmark]),
        Answer::of(503, &json!({ "message": "shutting down" })),
        Answer::events(&[event("ADDED", &pod("a", 9))]).broken(),
        Answer::events(&[event("ADDED", &pod("a", 9)), event("ADDED", &pod("b", 10))]).held(),
    ];
    let (changes, requests) = changes(answers, 4).await;
    let a = || Change::Applied(known("a", 9));
    assert_eq!(changes, [Change::Listed(vec![]), a(), a(), Change::Applied(known("b", 10))]);
    let from = |request: &String| query(request).rsplit('=').next().unwrap().to_owned();
    assert_eq!(requests[1..].iter().map(from).collect::<Vec<_>>(), ["7", "8", "8", "9"]);
}

#[tokio::test]
async fn a_version_that_is_too_old_leads_to_a_list() {
    let answers = vec![
        page(7, "", &[pod("a", 1)]),
        Answer::of(410, &gone()),
        page(9, "", &[pod("b", 2)]),
        Answer::events(&[event("ADDED", &pod("c", 10)), event("ERROR", &gone())]),
        page(12, "", &[pod("d", 11)]),
    ];
    let (changes, _) = changes(answers, 4).await;
    let expected = [
        Change::Listed(vec![known("a", 1)]),
        Change::Listed(vec![known("b", 2)]),
        Change::Applied(known("c", 10)),
        Change::Listed(vec![known("d", 11)]),
    ];
    assert_eq!(changes, expected);
}

#[tokio::test]
async fn an_answer_that_is_none_is_asked_for_again() {
    let answers = vec![
        Answer::of(500, &json!("?")),
        Answer::of(200, &json!({ "items": [] })),
        page(7, "", &[]),
        Answer::events(&[json!({ "type": "NOVEL", "object": {} })]),
        Answer::events(&[json!("no event")]),
        Answer::events(&[event("ADDED", &pod("a", 8))]).held(),
    ];
    let (changes, _) = changes(answers, 2).await;
    assert_eq!(changes, [Change::Listed(vec![]), Change::Applied(known("a", 8))]);
}

#[tokio::test]
async fn a_watch_that_hangs_is_begun_anew() {
    let double = Double::start(vec![
        page(7, "", &[]),
        Answer::events(&[event("ADDED", &pod("a", 8))]).held(),
        Answer::events(&[event("ADDED", &pod("b", 9))]).held(),
    ])
    .await;
    let (sender, mut receiver) = mpsc::channel::<Told>(16);
    let api = double.api().await;
    let listening = async {
        for _ in 0..2 {
            receiver.recv().await.unwrap();
        }
        assert_eq!(double.requests().len(), 2, "nothing was asked before the time was over");
        // The clock goes on by itself afterwards: what then comes over sockets takes time of its own.
        time::pause();
        time::advance(SILENCE_MAX).await;
        time::resume();
        assert_eq!(receiver.recv().await.unwrap().1, Change::Applied(known("b", 9)));
    };
    tokio::select! {
        () = follow(&api, &PODS, read, &sender) => unreachable!("somebody listens"),
        () = listening => {}
    }
    assert_eq!(query(&double.requests()[2]), "watch=true&allowWatchBookmarks=true&resourceVersion=8");
}

#[tokio::test]
async fn a_kind_that_is_not_there_is_absent_at_once_and_found_later() {
    let double = Double::start(vec![Answer::of(404, &json!({})), page(7, "", &[])]).await;
    let (sender, mut receiver) = mpsc::channel::<Told>(16);
    let api = double.api().await;
    let listening = async {
        assert_eq!(receiver.recv().await.unwrap().1, Change::Absent);
        time::pause();
        assert_eq!(receiver.recv().await.unwrap().1, Change::Listed(vec![]));
    };
    tokio::select! {
        () = follow(&api, &PODS, read, &sender) => unreachable!("somebody listens"),
        () = listening => {}
    }
}

#[tokio::test]
async fn a_kind_that_was_there_is_not_taken_for_gone_at_the_first_look() {
    let not_found = || Answer::of(404, &json!({}));
    let answers = vec![
        page(7, "", &[pod("a", 1)]),
        not_found(),
        not_found(),
        page(8, "", &[]),
        not_found(),
        not_found(),
    ];
    let answers = answers.into_iter().chain([not_found(), not_found()]);
    let double = Double::start(answers.collect()).await;
    let (sender, mut receiver) = mpsc::channel::<Told>(16);
    let api = double.api().await;
    let listening = async {
        assert_eq!(receiver.recv().await.unwrap().1, Change::Listed(vec![known("a", 1)]));
        time::pause();
        assert_eq!(receiver.recv().await.unwrap().1, Change::Listed(vec![]));
        assert_eq!(double.requests().len(), 4, "two looks found nothing, and were not believed");
        assert_eq!(receiver.recv().await.unwrap().1, Change::Absent);
    };
    tokio::select! {
        () = follow(&api, &PODS, read, &sender) => unreachable!("somebody listens"),
        () = listening => {}
    }
}

#[tokio::test]
async fn nobody_who_listens_ends_it() {
    let double = Double::start(vec![page(7, "", &[]), Answer::events(&[]).held()]).await;
    let (sender, mut receiver) = mpsc::channel::<Told>(16);
    let api = double.api().await;
    let listening = async {
        receiver.recv().await.unwrap();
        double.asked(2).await;
        drop(receiver);
    };
    tokio::join!(follow(&api, &PODS, read, &sender), listening);
}
