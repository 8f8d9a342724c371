use std::{os::unix::net::UnixListener, thread};

use super::*;

fn question() -> Question {
    Question { namespace: "shop".to_owned(), pod: "api-0".to_owned(), uid: Some("1".to_owned()) }
}

/// What is made of an agent that answers `text`, and what it was asked.
fn told(text: &str) -> (Result<Answer, String>, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(SOCKET);
    let listener = UnixListener::bind(&path).unwrap();
    thread::scope(|scope| {
        let agent = scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
            line
        });
        let answer = ask(&path, &question()).map_err(|error| error.to_string());
        (answer, agent.join().unwrap())
    })
}

#[test]
fn a_question_is_a_line_and_so_is_its_answer() {
    let (answer, asked) = told("{\"redirect\":[\"--verify\"]}\n");
    assert_eq!(answer, Ok(Answer::Redirect(vec!["--verify".to_owned()])));
    assert_eq!(asked, "{\"namespace\":\"shop\",\"pod\":\"api-0\",\"uid\":\"1\"}\n");
    assert_eq!(told("\"pass\"\n").0, Ok(Answer::Pass));
    assert_eq!(told("{\"failed\":\"why\"}\n").0, Ok(Answer::Failed("why".to_owned())));
}

#[test]
fn what_is_no_answer_is_never_taken_for_one() {
    let long = format!("\"{}\"\n", "a".repeat(100_000));
    for (text, said) in [
        ("", "gave no answer"),
        ("\"pass\"", "gave no answer"),
        (long.as_str(), "gave no answer"),
        ("\n", "is none"),
        ("\"maybe\"\n", "is none"),
        ("{\"redirect\":[1]}\n", "is none"),
    ] {
        let error = told(text).0.unwrap_err();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn where_nobody_listens_it_says_what_to_do() {
    let error = ask(Path::new("/nowhere/agent.sock"), &question()).unwrap_err().to_string();
    assert!(error.contains("/nowhere/agent.sock") && error.contains("DaemonSet weft-cni"), "{error}");
}
