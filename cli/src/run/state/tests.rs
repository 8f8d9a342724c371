use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn nobody_else_may_read_what_is_kept() {
    let state = State::open(None).unwrap();
    let token = state.workload("default", "frontend", "token").unwrap();
    write(&token, "secret").unwrap();
    assert_eq!(mode(state.root()), 0o700);
    assert_eq!(mode(token.parent().unwrap()), 0o700);
    assert_eq!(mode(&token), 0o600);
    assert_eq!(read(&token).unwrap().as_deref(), Some("secret"));
    write(&token, "newer").unwrap();
    assert_eq!(read(&token).unwrap().as_deref(), Some("newer"));
    assert_eq!(read(&state.path("absent")).unwrap(), None);
}

#[test]
fn a_temporary_folder_goes_and_a_named_one_stays() {
    let temporary = State::open(None).unwrap();
    let path = temporary.root().to_owned();
    drop(temporary);
    assert!(!path.exists());

    let parent = tempfile::tempdir().unwrap();
    let named = parent.path().join("state");
    drop(State::open(Some(&named)).unwrap());
    assert!(named.exists());
    assert_eq!(mode(&named), 0o700);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    let error = State::open(Some(&file.join("state"))).unwrap_err().to_string();
    assert!(error.contains("file/state"), "{error}");
}
