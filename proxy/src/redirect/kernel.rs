//! The way to nf_tables: one netlink socket, and the kernel's errors in words.

use std::{
    io::{self, Read},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

use super::{
    netlink::{self, Malformed},
    transaction::Transaction,
};

/// Family and protocol of the sockets that netfilter listens to (AF_NETLINK, NETLINK_NETFILTER).
const AF_NETLINK: i32 = 16;
const NETFILTER: i32 = 12;
/// The kernel answers before `send` returns; what takes longer is lost.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// Twice what the kernel puts into one piece of an answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Pieces of one list: far more than a pod has rules.
const PIECES_MAX: usize = 4096;

/// Numbers of errors (asm-generic/errno-base.h, errno.h).
const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const EACCES: i32 = 13;
const EPROTONOSUPPORT: i32 = 93;
const EOPNOTSUPP: i32 = 95;
const EAFNOSUPPORT: i32 = 97;

/// Why the kernel did not do it.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// It may not be done by this process.
    #[error(
        "the rules of this network namespace may not be touched by this process: give its container \
         `securityContext: {{runAsUser: 0, capabilities: {{add: [NET_ADMIN]}}}}`, or install Weft in CNI mode, where \
         no container of a pod needs that"
    )]
    NotPermitted,
    /// It cannot be done by this kernel.
    #[error(
        "the kernel of this machine cannot do {step} ({source}): Weft needs Linux 5.2 or newer with nf_tables and NAT; \
         `modprobe -a nf_tables nft_chain_nat nft_redir` on the node loads what is missing, if it is there"
    )]
    Unsupported {
        /// What was asked.
        step: String,
        /// What it said.
        source: io::Error,
    },
    /// Something else.
    #[error("the kernel refused {step}: {source}")]
    Refused {
        /// What was asked.
        step: String,
        /// What it said.
        source: io::Error,
    },
    /// The socket failed.
    #[error("netlink: {0}")]
    Socket(#[from] io::Error),
    /// The answer cannot be read.
    #[error("netlink: {0}")]
    Malformed(#[from] Malformed),
    /// The rules were changed while they were read.
    #[error("the rules changed while they were read, or there are too many: try again")]
    Unsteady,
}

/// A socket to nf_tables, for the network namespace of the thread that opened it.
pub struct Kernel(Socket);

impl Kernel {
    /// Opens it. That needs no right; to be heard does.
    pub fn open() -> Result<Self, KernelError> {
        let socket = Socket::new(Domain::from(AF_NETLINK), Type::RAW, Some(Protocol::from(NETFILTER)));
        let socket = socket.map_err(|source| told("a netlink socket for netfilter", source))?;
        socket.set_read_timeout(Some(ANSWER_WAIT))?;
        Ok(Self(socket))
    }

    /// Has all of `transaction` done, or nothing.
    pub fn commit(&self, transaction: &Transaction) -> Result<(), KernelError> {
        self.0.send(&transaction.bytes)?;
        // The last message says nothing when it is done; the one before it is the last that does.
        let last = transaction.steps.len().saturating_sub(2);
        let mut buffer = vec![0; ANSWER_BYTES_MAX];
        loop {
            let read = (&self.0).read(&mut buffer)?;
            for message in netlink::messages(&buffer[..read])? {
                if message.kind != netlink::ERROR {
                    continue;
                }
                let number = netlink::error_number(message.body)?;
                let sequence = message.sequence as usize;
                if number != 0 {
                    let step = transaction.steps.get(sequence).map_or("the transaction", String::as_str);
                    return Err(told(step, io::Error::from_raw_os_error(number)));
                }
                if sequence == last {
                    return Ok(());
                }
            }
        }
    }

    /// Reads a list: what `take` makes of the body of each message of `kind` that answers `request`.
    pub fn list<T>(
        &self,
        request: &[u8],
        kind: u16,
        mut take: impl FnMut(&[u8]) -> Result<Option<T>, Malformed>,
    ) -> Result<Vec<T>, KernelError> {
        self.0.send(request)?;
        let mut taken = Vec::new();
        let mut buffer = vec![0; ANSWER_BYTES_MAX];
        for _ in 0..PIECES_MAX {
            let read = (&self.0).read(&mut buffer)?;
            for message in netlink::messages(&buffer[..read])? {
                if message.flags & netlink::INTERRUPTED != 0 {
                    return Err(KernelError::Unsteady);
                }
                match message.kind {
                    netlink::DONE => return Ok(taken),
                    netlink::ERROR => match netlink::error_number(message.body)? {
                        0 => {}
                        number => return Err(told("a list of rules", io::Error::from_raw_os_error(number))),
                    },
                    found if found == kind => taken.extend(take(message.body)?),
                    _ => {}
                }
            }
        }
        Err(KernelError::Unsteady)
    }
}

/// What an error of the kernel means to those who run `init`.
fn told(step: &str, source: io::Error) -> KernelError {
    let step = step.to_owned();
    match source.raw_os_error() {
        Some(EPERM | EACCES) => KernelError::NotPermitted,
        Some(ENOENT | EPROTONOSUPPORT | EOPNOTSUPP | EAFNOSUPPORT) => {
            KernelError::Unsupported { step, source }
        }
        _ => KernelError::Refused { step, source },
    }
}

#[cfg(test)]
mod tests;
