use super::*;
use crate::redirect::{
    arguments::Settings,
    netlink::messages,
    rules::{self, Unheard},
    transaction,
};

/// What the kernel would tell after it took the transaction for `settings`: the very messages that made it.
fn installed(settings: &Settings) -> Installed {
    let transaction = transaction::install(&rules::chains(settings, Unheard::Refused));
    let mut installed = Installed::default();
    for message in messages(&transaction.bytes).unwrap() {
        match message.kind {
            NEW_CHAIN => installed.chains.extend(read_chain(message.body).unwrap()),
            NEW_RULE => installed.rules.extend(read_rule(message.body).unwrap()),
            _ => {}
        }
    }
    installed
}

fn differences(change: impl FnOnce(&mut Installed)) -> Vec<String> {
    let settings = Settings { skip_inbound: "22".parse().unwrap(), ..Settings::default() };
    let mut installed = installed(&settings);
    change(&mut installed);
    installed.differences(&rules::chains(&settings, Unheard::Refused))
}

#[test]
fn what_was_installed_is_recognised() {
    assert_eq!(differences(|_| {}), Vec::<String>::new());
    // Somebody else's chain within our table decides nothing about ours.
    let other = |installed: &mut Installed| installed.rules.push(("other".to_owned(), Vec::new()));
    assert_eq!(differences(other), Vec::<String>::new());
}

#[test]
fn every_difference_is_named() {
    type Change = fn(&mut Installed);
    let changes: [(Change, &str); 8] = [
        (|installed| *installed = Installed::default(), "there is no table inet weft"),
        (|installed| drop(installed.chains.pop()), "no chain prerouting"),
        (|installed| installed.chains[0].priority = Some(0), "chain output is not `type nat hook output"),
        (|installed| installed.chains[1].policy = Some(0), "chain prerouting is not `type nat"),
        (|installed| drop(installed.rules.pop()), "chain prerouting has 3 rules instead of 4"),
        (|installed| installed.rules.push(("output".to_owned(), Vec::new())), "has 4 rules instead of 3"),
        (|installed| installed.rules.swap(0, 1), "rule 1 of chain output is not `meta skuid 2112 accept"),
        (
            |installed| drop(installed.rules[4].1.pop()),
            "rule 2 of chain prerouting is not `tcp dport 22 accept",
        ),
    ];
    for (change, named) in changes {
        let found = differences(change);
        assert!(found.len() == 1 && found[0].contains(named), "{named}: {found:?}");
    }
}

#[test]
fn other_settings_are_a_difference() {
    let installed = installed(&Settings::default());
    let others = [
        Settings { proxy_uid: 2113, ..Settings::default() },
        Settings { inbound_port: 4144, ..Settings::default() },
        Settings { outbound_port: 4141, ..Settings::default() },
        Settings { skip_inbound: "4143".parse().unwrap(), ..Settings::default() },
    ];
    for other in others {
        assert_eq!(installed.differences(&rules::chains(&other, Unheard::Refused)).len(), 1, "{other:?}");
    }
}

#[test]
fn what_older_kernels_are_given_is_another_redirect() {
    let settings = Settings::default();
    let installed = installed(&settings);
    let older = installed.differences(&rules::chains(&settings, Unheard::Redirected));
    assert!(older.len() == 1 && older[0].contains("`meta l4proto tcp redirect to :4143"), "{older:?}");
}
