use super::*;
use crate::redirect::{arguments::Settings, netlink, rules};

#[test]
fn the_table_is_made_anew_between_begin_and_end() {
    let chains = rules::chains(&Settings::default(), rules::Unheard::Refused);
    let transaction = install(&chains);
    let messages = netlink::messages(&transaction.bytes).unwrap();
    let kinds: Vec<u16> = messages.iter().map(|message| message.kind).collect();
    let rules = chains.iter().map(|chain| chain.rules.len()).sum();
    let expected = [
        &[BEGIN, NEW_TABLE, DELETE_TABLE, NEW_TABLE, NEW_CHAIN, NEW_CHAIN][..],
        &vec![NEW_RULE; rules],
        &[END],
    ];
    assert_eq!(kinds, expected.concat());
    let numbers = messages.iter().map(|message| message.sequence as usize);
    assert!(numbers.eq(0..transaction.steps.len()), "every message has its step");
}

#[test]
fn nothing_but_our_table_is_named() {
    let transaction = install(&rules::chains(&Settings::default(), rules::Unheard::Refused));
    for message in netlink::messages(&transaction.bytes).unwrap() {
        if message.kind == BEGIN || message.kind == END {
            continue;
        }
        // The first attribute of tables, chains and rules is the table's name.
        assert_eq!(netlink::find_text(&message.body[4..], 1), Some("weft"), "{message:?}");
        assert_eq!(message.body[0], INET);
    }
}

#[test]
fn the_longest_redirect_fits_into_one_message_to_the_kernel() {
    // Every second port, so that no two of them join.
    let ports: Vec<String> =
        (0..64).map(|index| format!("{}-{}", 10_000 + index * 10, 10_005 + index * 10)).collect();
    let ports = ports.join(",").parse::<weft_api::ports::Ports>().unwrap();
    let settings = Settings { skip_inbound: ports.clone(), skip_outbound: ports, ..Settings::default() };
    let bytes = install(&rules::chains(&settings, rules::Unheard::Refused)).bytes.len();
    // Half of what a socket may send by default (net.core.wmem_default).
    assert!(bytes < 106_496, "{bytes} bytes");
}
