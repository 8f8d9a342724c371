//! Whether the rules in the kernel are those of the redirect.

use super::{
    expressions::{self, Expression},
    kernel::{Kernel, KernelError},
    netlink::{self, Malformed},
    rules::{Chain, PRIORITY, TABLE},
    text,
    transaction::{
        ACCEPT, CHAIN_HOOK, CHAIN_NAME, CHAIN_POLICY, CHAIN_TABLE, CHAIN_TYPE, GET_CHAIN, GET_RULE,
        HOOK_NUMBER, HOOK_PRIORITY, NAT, NEW_CHAIN, NEW_RULE, RULE_CHAIN, RULE_EXPRESSIONS, RULE_TABLE,
        hook_number, list,
    },
};

/// Bytes before the attributes: `struct nfgenmsg`.
const HEADER_BYTES: usize = 4;

/// What our table holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Installed {
    /// Its chains.
    pub chains: Vec<InstalledChain>,
    /// Its rules in order, each with the name of its chain.
    pub rules: Vec<(String, Vec<Expression>)>,
}

/// A chain that is there.
#[derive(Debug, PartialEq, Eq)]
pub struct InstalledChain {
    name: String,
    kind: Option<String>,
    hook: Option<u32>,
    priority: Option<i32>,
    policy: Option<u32>,
}

impl Installed {
    /// Asks the kernel.
    pub fn read(kernel: &Kernel) -> Result<Self, KernelError> {
        Ok(Self {
            chains: kernel.list(&list(GET_CHAIN), NEW_CHAIN, read_chain)?,
            rules: kernel.list(&list(GET_RULE), NEW_RULE, read_rule)?,
        })
    }

    /// The first difference of each of the `expected` chains.
    pub fn differences(&self, expected: &[Chain]) -> Vec<String> {
        if self.chains.is_empty() {
            return vec![format!("there is no table inet {TABLE} with chains")];
        }
        expected.iter().filter_map(|chain| self.difference(chain)).collect()
    }

    fn difference(&self, expected: &Chain) -> Option<String> {
        let name = expected.hook.name();
        let Some(chain) = self.chains.iter().find(|chain| chain.name == name) else {
            return Some(format!("table inet {TABLE} has no chain {name}"));
        };
        let wanted = InstalledChain {
            name: name.to_owned(),
            kind: Some(NAT.to_owned()),
            hook: Some(hook_number(expected.hook)),
            priority: Some(PRIORITY),
            policy: Some(ACCEPT),
        };
        if *chain != wanted {
            return Some(format!(
                "chain {name} is not `type {NAT} hook {name} priority {PRIORITY}; policy accept`"
            ));
        }
        let rules: Vec<_> =
            self.rules.iter().filter(|(chain, _)| chain == name).map(|(_, rule)| rule).collect();
        let differs =
            expected.rules.iter().zip(&rules).position(|(rule, found)| expressions::of_rule(rule) != **found);
        if let Some(at) = differs {
            let rule = text::rule(&expected.rules[at]);
            return Some(format!("rule {} of chain {name} is not `{rule}`", at + 1));
        }
        let (found, wanted) = (rules.len(), expected.rules.len());
        (found != wanted).then(|| format!("chain {name} has {found} rules instead of {wanted}"))
    }
}

/// `None` for chains of other tables.
fn read_chain(body: &[u8]) -> Result<Option<InstalledChain>, Malformed> {
    let body = body.get(HEADER_BYTES..).ok_or(Malformed)?;
    if netlink::find_text(body, CHAIN_TABLE) != Some(TABLE) {
        return Ok(None);
    }
    let hook = netlink::find(body, CHAIN_HOOK);
    Ok(Some(InstalledChain {
        name: netlink::find_text(body, CHAIN_NAME).ok_or(Malformed)?.to_owned(),
        kind: netlink::find_text(body, CHAIN_TYPE).map(str::to_owned),
        hook: hook.and_then(|hook| netlink::find_number(hook, HOOK_NUMBER)),
        priority: hook.and_then(|hook| netlink::find_number(hook, HOOK_PRIORITY)).map(u32::cast_signed),
        policy: netlink::find_number(body, CHAIN_POLICY),
    }))
}

/// `None` for rules of other tables.
fn read_rule(body: &[u8]) -> Result<Option<(String, Vec<Expression>)>, Malformed> {
    let body = body.get(HEADER_BYTES..).ok_or(Malformed)?;
    if netlink::find_text(body, RULE_TABLE) != Some(TABLE) {
        return Ok(None);
    }
    let chain = netlink::find_text(body, RULE_CHAIN).ok_or(Malformed)?.to_owned();
    let expressions = netlink::find(body, RULE_EXPRESSIONS).map_or(Ok(Vec::new()), expressions::read)?;
    Ok(Some((chain, expressions)))
}

#[cfg(test)]
mod tests;
