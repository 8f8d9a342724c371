//! The redirect in the syntax of nft, as `nft list table inet weft` shows it and `nft -f` reads it.

use std::fmt::Write;

use weft_api::ports;

use super::rules::{Chain, LOOPBACK, Match, PRIORITY, Rule, TABLE, Verdict};

/// The whole table.
pub fn table(chains: &[Chain]) -> String {
    let chains: Vec<String> = chains.iter().map(chain).collect();
    format!("table inet {TABLE} {{\n{}}}\n", chains.join("\n"))
}

/// One rule.
pub fn rule(rule: &Rule) -> String {
    let verdict = match rule.verdict {
        Verdict::Pass => "accept".to_owned(),
        Verdict::Redirect(port) => format!("redirect to :{port}"),
        Verdict::Refuse => "reject with tcp reset".to_owned(),
    };
    format!("{} {verdict} comment \"{}\"", of(&rule.of), rule.comment)
}

fn chain(chain: &Chain) -> String {
    let name = chain.hook.name();
    let mut text =
        format!("\tchain {name} {{\n\t\ttype nat hook {name} priority {PRIORITY}; policy accept;\n");
    for one in &chain.rules {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\t\t{}", rule(one));
    }
    text + "\t}\n"
}

fn of(of: &Match) -> String {
    match of {
        Match::User(uid) => format!("meta skuid {uid}"),
        Match::ToLoopback => format!("oifname \"{LOOPBACK}\""),
        Match::Ports(ports) => format!("tcp dport {}", ports::shown(ports)),
        Match::Tcp => "meta l4proto tcp".to_owned(),
        // Bound to one address or to any: the condition holds for every socket that is found.
        Match::Heard => "meta l4proto tcp socket wildcard <= 1".to_owned(),
    }
}

#[cfg(test)]
mod tests;
