use proptest::prelude::*;

use super::*;

#[test]
fn spellings_of_one_path_have_one_form() {
    let table = [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b/"),
        ("//admin", "/admin"),
        ("/a//b///", "/a/b/"),
        ("/a/../admin", "/admin"),
        ("/../admin", "/admin"),
        ("/a/./b", "/a/b"),
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/%2e%2e/admin", "/admin"),
        ("/a/%2E%2e/admin", "/admin"),
        ("/a/.%2e/admin", "/admin"),
        ("/%61dmin", "/admin"),
        ("/...", "/..."),
        ("/.well-known/x", "/.well-known/x"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a%20b", "/a%20b"),
        ("/{id}|[x]", "/%7Bid%7D%7C%5Bx%5D"),
        // Decoded once and never twice: what is behind it is the application's own doing.
        ("/%252e%252e/admin", "/%252e%252e/admin"),
        ("/a:b@c,d=e", "/a:b@c,d=e"),
        ("/a%3Bb", "/a%3Bb"),
        ("*", "*"),
    ];
    for (path, form) in table {
        assert_eq!(canonical(path).as_deref(), Ok(form), "{path}");
    }
}

#[test]
fn what_servers_disagree_about_has_no_form() {
    let byte = |byte| Ambiguity::Byte(Byte(byte));
    let table = [
        ("", Ambiguity::Relative),
        ("a", Ambiguity::Relative),
        ("/a%2fb", byte(b'/')),
        ("/a%2Fb", byte(b'/')),
        ("/a%5cb", byte(b'\\')),
        ("/a\\b", byte(b'\\')),
        ("/a%00", byte(0)),
        ("/a%0Ab", byte(b'\n')),
        ("/a%7f", byte(0x7f)),
        ("/a;x", byte(b';')),
        ("/a/..;/admin", byte(b';')),
        ("/é", byte(0xc3)),
        ("/a b", byte(b' ')),
        ("/a%", Ambiguity::Escape),
        ("/a%2", Ambiguity::Escape),
        ("/a%zz", Ambiguity::Escape),
        ("/a%2/b", Ambiguity::Escape),
        ("/a%+1", Ambiguity::Escape),
    ];
    for (path, ambiguity) in table {
        assert_eq!(canonical(path), Err(ambiguity), "{path}");
    }
}

#[test]
fn what_is_canonical_already_is_not_copied() {
    for path in ["/", "/a", "/api/v1/items.json", "/a.b/c-d_e~f", "*"] {
        assert!(matches!(canonical(path), Ok(Cow::Borrowed(_))), "{path}");
    }
}

proptest! {
    #[test]
    fn the_form_of_a_form_is_itself(path in "/([a-c./;%\\\\25eEfF{\u{e9}]|%2e|%41|//){0,24}") {
        if let Ok(form) = canonical(&path) {
            prop_assert_eq!(canonical(&form), Ok(Cow::Borrowed(form.as_ref())));
            prop_assert!(form.starts_with('/') && !form.contains("//") && !form.contains("/./"), "{}", form);
            prop_assert!(!form.split('/').any(|segment| matches!(segment, "." | "..")), "{}", form);
        }
    }

    #[test]
    fn the_quick_look_agrees_with_the_long_one(path in "/[a-b./]{0,12}") {
        let quick = is_evidently_canonical(path.as_bytes());
        prop_assert!(!quick || canonical(&path).unwrap() == path);
    }
}
