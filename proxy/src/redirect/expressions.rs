//! A rule as the kernel takes it: small expressions that load something into a register, look at it, and decide.
//!
//! All numbers are those of linux/netfilter/nf_tables.h. What is not one of ours is read as [`Expression::Foreign`].

use super::{
    netlink::{self, Writer},
    rules::{LOOPBACK, Match, Rule, Verdict},
};

/// The one register that is used (NFT_REG_1), and that of verdicts (NFT_REG_VERDICT).
const REGISTER: u32 = 1;
const VERDICT_REGISTER: u32 = 0;
/// Number of an element in a list of expressions (NFTA_LIST_ELEM).
pub const ELEMENT: u16 = 1;
/// Attributes of an expression: its name, and what belongs to it (NFTA_EXPR_NAME, NFTA_EXPR_DATA).
const NAME: u16 = 1;
const DATA: u16 = 2;
/// Values: bytes, or a verdict, which holds a code (NFTA_DATA_VALUE, NFTA_DATA_VERDICT, NFTA_VERDICT_CODE).
const VALUE: u16 = 1;
const VERDICT: u16 = 2;
const CODE: u16 = 1;
/// The verdict that lets a packet pass (NF_ACCEPT).
const ACCEPT: u32 = 1;
/// NFTA_META_DREG, NFTA_META_KEY.
const META: [u16; 2] = [1, 2];
/// NFTA_CMP_SREG, NFTA_CMP_OP, NFTA_CMP_DATA.
const COMPARE: [u16; 3] = [1, 2, 3];
/// NFTA_PAYLOAD_DREG, _BASE, _OFFSET, _LEN.
const PAYLOAD: [u16; 4] = [1, 2, 3, 4];
/// NFTA_IMMEDIATE_DREG, NFTA_IMMEDIATE_DATA.
const IMMEDIATE: [u16; 2] = [1, 2];
/// NFTA_REDIR_REG_PROTO_MIN, _REG_PROTO_MAX, _FLAGS.
const REDIRECT: [u16; 3] = [1, 2, 3];
/// The port is told, and nothing is left to chance (NF_NAT_RANGE_PROTO_SPECIFIED).
const PORT_IS_TOLD: u32 = 2;
/// NFTA_SOCKET_KEY, NFTA_SOCKET_DREG; and whether the socket that a packet is for is bound to any address
/// (NFT_SOCKET_WILDCARD): 0 or 1. Without such a socket the rule ends.
const SOCKET: [u16; 2] = [1, 2];
const IS_WILDCARD: u32 = 2;
/// NFTA_REJECT_TYPE, and the kind that answers with a reset (NFT_REJECT_TCP_RST).
const REJECT: u16 = 1;
const TCP_RESET: u32 = 1;
/// Where the port of a TCP header is: base (NFT_PAYLOAD_TRANSPORT_HEADER), offset, length.
const DESTINATION_PORT: [u32; 3] = [2, 2, 2];
/// Length of an interface's name, filled up with zeroes (IFNAMSIZ).
const INTERFACE_BYTES: usize = 16;
/// TCP, as a protocol of IP.
const TCP: u8 = 6;

/// One step of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// Loads what is known about the packet.
    Load(Key),
    /// Loads the destination's port.
    LoadPort,
    /// Loads whether the socket that is called is bound to any address; ends the rule where there is none.
    LoadSocket,
    /// Goes on only if what was loaded compares so to these bytes.
    Compare(Operator, Vec<u8>),
    /// Loads these bytes.
    Immediate(Vec<u8>),
    /// Ends the rule: the packet passes.
    Accept,
    /// Ends the rule: to the loaded port of this namespace.
    Redirect,
    /// Ends the rule: answered with a reset.
    Refuse,
    /// What we never write, by its name.
    Foreign(String),
}

/// What is known about a packet; values are `enum nft_meta_keys`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Name of the interface that it goes out by.
    OutInterface = 7,
    /// User of the socket that it came from.
    User = 10,
    /// Protocol above IP.
    Protocol = 16,
}

/// How to compare; values are `enum nft_cmp_ops`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `==`
    Equal = 0,
    /// `<=`
    AtMost = 3,
    /// `>=`
    AtLeast = 5,
}

const KEYS: [Key; 3] = [Key::OutInterface, Key::User, Key::Protocol];
const OPERATORS: [Operator; 3] = [Operator::Equal, Operator::AtMost, Operator::AtLeast];

/// What a rule consists of.
pub fn of_rule(rule: &Rule) -> Vec<Expression> {
    let mut all = of_match(&rule.of);
    match rule.verdict {
        Verdict::Pass => all.push(Expression::Accept),
        Verdict::Redirect(port) => {
            all.extend([Expression::Immediate(port.to_be_bytes().to_vec()), Expression::Redirect]);
        }
        Verdict::Refuse => all.push(Expression::Refuse),
    }
    all
}

fn of_match(of: &Match) -> Vec<Expression> {
    let equal = |bytes: &[u8]| Expression::Compare(Operator::Equal, bytes.to_vec());
    match of {
        // The kernel keeps it in the order of the machine.
        Match::User(uid) => vec![Expression::Load(Key::User), equal(&uid.to_ne_bytes())],
        Match::ToLoopback => {
            let mut name = LOOPBACK.as_bytes().to_vec();
            name.resize(INTERFACE_BYTES, 0);
            vec![Expression::Load(Key::OutInterface), equal(&name)]
        }
        Match::Tcp => vec![Expression::Load(Key::Protocol), equal(&[TCP])],
        Match::Heard => {
            let any = Expression::Compare(Operator::AtMost, vec![1]);
            of_match(&Match::Tcp).into_iter().chain([Expression::LoadSocket, any]).collect()
        }
        Match::Ports(ports) => {
            let (first, last) = (ports.start().to_be_bytes(), ports.end().to_be_bytes());
            let mut all = of_match(&Match::Tcp);
            all.push(Expression::LoadPort);
            if first == last {
                all.push(equal(&first));
            } else {
                all.push(Expression::Compare(Operator::AtLeast, first.to_vec()));
                all.push(Expression::Compare(Operator::AtMost, last.to_vec()));
            }
            all
        }
    }
}

/// Writes `expressions` as the elements of a list.
pub fn write(writer: &mut Writer, expressions: &[Expression]) {
    for expression in expressions {
        writer.nested(ELEMENT, |writer| {
            writer.text(NAME, expression.name());
            writer.nested(DATA, |writer| expression.write(writer));
        });
    }
}

/// Reads a list.
pub fn read(list: &[u8]) -> Result<Vec<Expression>, netlink::Malformed> {
    let elements = netlink::attributes(list)?;
    let one = |element: &[u8]| {
        let name = netlink::find_text(element, NAME).ok_or(netlink::Malformed)?;
        let read = netlink::find(element, DATA).and_then(|data| Expression::read(name, data));
        Ok(read.unwrap_or_else(|| Expression::Foreign(name.to_owned())))
    };
    elements.into_iter().filter(|(kind, _)| *kind == ELEMENT).map(|(_, element)| one(element)).collect()
}

impl Expression {
    fn name(&self) -> &str {
        match self {
            Self::Load(_) => "meta",
            Self::LoadPort => "payload",
            Self::LoadSocket => "socket",
            Self::Compare(..) => "cmp",
            Self::Immediate(_) | Self::Accept => "immediate",
            Self::Redirect => "redir",
            Self::Refuse => "reject",
            Self::Foreign(name) => name,
        }
    }

    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Load(key) => numbers(writer, META, [REGISTER, *key as u32]),
            Self::LoadPort => {
                let [base, offset, length] = DESTINATION_PORT;
                numbers(writer, PAYLOAD, [REGISTER, base, offset, length]);
            }
            Self::LoadSocket => numbers(writer, SOCKET, [IS_WILDCARD, REGISTER]),
            Self::Compare(operator, bytes) => {
                let [register, operation, data] = COMPARE;
                numbers(writer, [register, operation], [REGISTER, *operator as u32]);
                writer.nested(data, |writer| writer.attribute(VALUE, bytes));
            }
            Self::Immediate(bytes) => {
                let [register, data] = IMMEDIATE;
                writer.number(register, REGISTER);
                writer.nested(data, |writer| writer.attribute(VALUE, bytes));
            }
            Self::Accept => {
                let [register, data] = IMMEDIATE;
                writer.number(register, VERDICT_REGISTER);
                writer.nested(data, |writer| {
                    writer.nested(VERDICT, |writer| writer.number(CODE, ACCEPT));
                });
            }
            Self::Redirect => numbers(writer, REDIRECT, [REGISTER, REGISTER, PORT_IS_TOLD]),
            Self::Refuse => writer.number(REJECT, TCP_RESET),
            Self::Foreign(_) => {}
        }
    }

    /// `None` for what we never write.
    fn read(name: &str, data: &[u8]) -> Option<Self> {
        let number = |kind| netlink::find_number(data, kind);
        match name {
            "meta" => {
                let [register, key] = META.map(number);
                let key = KEYS.into_iter().find(|known| Some(*known as u32) == key)?;
                (register == Some(REGISTER)).then_some(Self::Load(key))
            }
            "payload" => {
                let [base, offset, length] = DESTINATION_PORT.map(Some);
                let expected = [Some(REGISTER), base, offset, length];
                (PAYLOAD.map(number) == expected).then_some(Self::LoadPort)
            }
            "socket" => {
                (SOCKET.map(number) == [Some(IS_WILDCARD), Some(REGISTER)]).then_some(Self::LoadSocket)
            }
            "cmp" => {
                let [register, operator, value] = COMPARE;
                let operator = OPERATORS.into_iter().find(|known| Some(*known as u32) == number(operator))?;
                let bytes = netlink::find(netlink::find(data, value)?, VALUE)?;
                (number(register) == Some(REGISTER)).then(|| Self::Compare(operator, bytes.to_vec()))
            }
            "immediate" => {
                let [register, value] = IMMEDIATE;
                let value = netlink::find(data, value)?;
                match number(register)? {
                    REGISTER => Some(Self::Immediate(netlink::find(value, VALUE)?.to_vec())),
                    VERDICT_REGISTER => {
                        let code = netlink::find_number(netlink::find(value, VERDICT)?, CODE)?;
                        (code == ACCEPT).then_some(Self::Accept)
                    }
                    _ => None,
                }
            }
            "redir" => {
                let [low, high, flags] = REDIRECT.map(number);
                // Older kernels leave the flag away, and the second register where it is the first.
                let one_port = low == Some(REGISTER) && high.is_none_or(|high| high == REGISTER);
                (one_port && flags.is_none_or(|flags| flags == PORT_IS_TOLD)).then_some(Self::Redirect)
            }
            "reject" => (number(REJECT) == Some(TCP_RESET)).then_some(Self::Refuse),
            _ => None,
        }
    }
}

/// Writes numbers under their kinds.
fn numbers<const N: usize>(writer: &mut Writer, kinds: [u16; N], values: [u32; N]) {
    for (kind, value) in kinds.into_iter().zip(values) {
        writer.number(kind, value);
    }
}

#[cfg(test)]
mod tests;
