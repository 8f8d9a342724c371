use super::*;

#[test]
fn one_is_held_back_and_given_up_once() {
    let file = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut spare = Spare::default();
    assert!(!spare.give_up());
    spare.hold(&file);
    let held = spare.0.as_ref().map(|fd| format!("{fd:?}"));
    spare.hold(&file);
    assert_eq!(spare.0.as_ref().map(|fd| format!("{fd:?}")), held, "a second one is held");
    assert!(spare.give_up());
    assert!(!spare.give_up());
}

#[test]
fn only_the_want_of_descriptors_is_one() {
    for (errno, is) in
        [(Errno::MFILE, true), (Errno::NFILE, true), (Errno::CONNABORTED, false), (Errno::NOMEM, false)]
    {
        assert_eq!(is_out_of_descriptors(&errno.into()), is, "{errno}");
    }
    assert!(!is_out_of_descriptors(&io::Error::other("words")));
}
