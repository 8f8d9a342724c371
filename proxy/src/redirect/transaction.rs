//! The redirect as one transaction of nf_tables: all of it is in force at once, or nothing has changed.
//!
//! It makes our table anew whatever was in it, so that it may run any number of times, and touches no other table.

use super::{
    expressions,
    netlink::{ACK, APPEND, CREATE, DUMP, REQUEST, Writer},
    rules::{Chain, Hook, PRIORITY, Rule, TABLE},
    text,
};

/// The part of netfilter that all of this is for (NFNL_SUBSYS_NFTABLES).
const NF_TABLES: u16 = 10;
/// Messages of nf_tables (`enum nf_tables_msg_types`), behind the number of the part.
const NEW_TABLE: u16 = NF_TABLES << 8;
const DELETE_TABLE: u16 = (NF_TABLES << 8) | 2;
/// One chain.
pub const NEW_CHAIN: u16 = (NF_TABLES << 8) | 3;
/// Tell the chains.
pub const GET_CHAIN: u16 = (NF_TABLES << 8) | 4;
/// One rule.
pub const NEW_RULE: u16 = (NF_TABLES << 8) | 6;
/// Tell the rules.
pub const GET_RULE: u16 = (NF_TABLES << 8) | 7;
/// Around a transaction (NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END).
const BEGIN: u16 = 0x10;
const END: u16 = 0x11;
/// IPv4 and IPv6 at once (NFPROTO_INET).
const INET: u8 = 1;
/// NFTA_TABLE_NAME.
const TABLE_NAME: u16 = 1;
/// NFTA_CHAIN_TABLE, _NAME, _HOOK, _POLICY, _TYPE.
pub const CHAIN_TABLE: u16 = 1;
/// NFTA_CHAIN_NAME.
pub const CHAIN_NAME: u16 = 3;
/// NFTA_CHAIN_HOOK, which holds [`HOOK_NUMBER`] and [`HOOK_PRIORITY`].
pub const CHAIN_HOOK: u16 = 4;
/// NFTA_CHAIN_POLICY.
pub const CHAIN_POLICY: u16 = 5;
/// NFTA_CHAIN_TYPE.
pub const CHAIN_TYPE: u16 = 7;
/// NFTA_HOOK_HOOKNUM.
pub const HOOK_NUMBER: u16 = 1;
/// NFTA_HOOK_PRIORITY.
pub const HOOK_PRIORITY: u16 = 2;
/// The kind of chain that may change destinations.
pub const NAT: &str = "nat";
/// What is not decided passes (NF_ACCEPT).
pub const ACCEPT: u32 = 1;
/// NFTA_RULE_TABLE.
pub const RULE_TABLE: u16 = 1;
/// NFTA_RULE_CHAIN.
pub const RULE_CHAIN: u16 = 2;
/// NFTA_RULE_EXPRESSIONS.
pub const RULE_EXPRESSIONS: u16 = 4;
/// NFTA_RULE_USERDATA.
const RULE_USERDATA: u16 = 7;
/// Kind of a comment among what nft keeps with a rule (NFTNL_UDATA_RULE_COMMENT of libnftnl's udata.h).
const COMMENT: u8 = 0;

/// Bytes to send at once, and what each message of them is for.
pub struct Transaction {
    /// All messages.
    pub bytes: Vec<u8>,
    /// In words, by sequence number.
    pub steps: Vec<String>,
}

/// Makes the table of `chains`, whatever was there before.
pub fn install(chains: &[Chain]) -> Transaction {
    let mut batch = Batch::default();
    batch.add("the transaction", BEGIN, 0, |writer| writer.bytes(&header(0, NF_TABLES)));
    let table = format!("table inet {TABLE}");
    // Made so that it can be deleted, and deleted so that nothing of it is left.
    for (kind, flags) in [(NEW_TABLE, CREATE), (DELETE_TABLE, 0), (NEW_TABLE, CREATE)] {
        batch.request(&table, kind, flags, |writer| writer.text(TABLE_NAME, TABLE));
    }
    for chain in chains {
        let name = format!("chain {} of type {NAT}", chain.hook.name());
        batch.request(&name, NEW_CHAIN, CREATE, |writer| write_chain(writer, chain.hook));
    }
    for chain in chains {
        for rule in &chain.rules {
            let name = format!("rule `{}`", text::rule(rule));
            let flags = CREATE | APPEND;
            batch.request(&name, NEW_RULE, flags, |writer| write_rule(writer, chain.hook, rule));
        }
    }
    batch.add("the end of the transaction", END, 0, |writer| writer.bytes(&header(0, NF_TABLES)));
    Transaction { bytes: batch.writer.finish(), steps: batch.steps }
}

/// Asks for all objects of the kind that `kind` names, in our family.
pub fn list(kind: u16) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.message(kind, REQUEST | DUMP, 0, |writer| writer.bytes(&header(INET, 0)));
    writer.finish()
}

/// The number of `hook` (`enum nf_inet_hooks`).
pub fn hook_number(hook: Hook) -> u32 {
    match hook {
        Hook::Prerouting => 0,
        Hook::Output => 3,
    }
}

#[derive(Default)]
struct Batch {
    writer: Writer,
    steps: Vec<String>,
}

impl Batch {
    /// Adds a message of our family, and asks to be told when it is done.
    fn request(&mut self, step: &str, kind: u16, flags: u16, write: impl FnOnce(&mut Writer)) {
        self.add(step, kind, flags | ACK, |writer| {
            writer.bytes(&header(INET, 0));
            write(writer);
        });
    }

    fn add(&mut self, step: &str, kind: u16, flags: u16, write: impl FnOnce(&mut Writer)) {
        let sequence = u32::try_from(self.steps.len()).expect("rules are bounded, and few");
        self.writer.message(kind, REQUEST | flags, sequence, write);
        self.steps.push(step.to_owned());
    }
}

/// Family, version 0, and a number that is in the order of the network: `struct nfgenmsg`.
fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

fn write_chain(writer: &mut Writer, hook: Hook) {
    writer.text(CHAIN_TABLE, TABLE);
    writer.text(CHAIN_NAME, hook.name());
    writer.nested(CHAIN_HOOK, |writer| {
        writer.number(HOOK_NUMBER, hook_number(hook));
        writer.attribute(HOOK_PRIORITY, &PRIORITY.to_be_bytes());
    });
    writer.number(CHAIN_POLICY, ACCEPT);
    writer.text(CHAIN_TYPE, NAT);
}

fn write_rule(writer: &mut Writer, hook: Hook, rule: &Rule) {
    writer.text(RULE_TABLE, TABLE);
    writer.text(RULE_CHAIN, hook.name());
    let expressions = expressions::of_rule(rule);
    writer.nested(RULE_EXPRESSIONS, |writer| expressions::write(writer, &expressions));
    let comment = rule.comment.as_bytes();
    let length = u8::try_from(comment.len() + 1).expect("comments are short and written here");
    writer.attribute(RULE_USERDATA, &[&[COMMENT, length], comment, &[0]].concat());
}

#[cfg(test)]
mod tests;
