//! The format of netlink: messages, each a header and attributes, which may hold attributes (RFC 3549, 2.2; linux/netlink.h).
//!
//! Numbers of headers are in the order of the machine.

/// Length (4 bytes), kind (2), flags (2), sequence (4), port (4): `struct nlmsghdr`.
pub const HEADER_BYTES: usize = 16;
/// Length (2 bytes) and kind (2): `struct nlattr`.
const ATTRIBUTE_HEADER_BYTES: usize = 4;
/// Messages and attributes begin at multiples of it.
const ALIGNMENT: usize = 4;
/// Bit of an attribute's kind: it holds attributes (NLA_F_NESTED).
const NESTED: u16 = 0x8000;
/// The bits of an attribute's kind that are its kind (NLA_TYPE_MASK).
const KIND_MASK: u16 = 0x3fff;

/// Kind of the message that tells an error, or success (NLMSG_ERROR).
pub const ERROR: u16 = 2;
/// Kind of the message that ends a list (NLMSG_DONE).
pub const DONE: u16 = 3;
/// Flag of every request (NLM_F_REQUEST).
pub const REQUEST: u16 = 0x1;
/// Flag: tell success too, not errors alone (NLM_F_ACK).
pub const ACK: u16 = 0x4;
/// Flag of a list that changed while it was told (NLM_F_DUMP_INTR).
pub const INTERRUPTED: u16 = 0x10;
/// Flags: tell all there are (NLM_F_DUMP).
pub const DUMP: u16 = 0x300;
/// Flag: make it if it is not there (NLM_F_CREATE).
pub const CREATE: u16 = 0x400;
/// Flag: put it at the end (NLM_F_APPEND).
pub const APPEND: u16 = 0x800;

/// Messages being written.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

/// A message that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it is.
    pub kind: u16,
    /// Flags.
    pub flags: u16,
    /// Number of the request that it answers.
    pub sequence: u32,
    /// All behind the header.
    pub body: &'a [u8],
}

/// Bytes that are no messages, or no attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kernel's answer breaks off")]
pub struct Malformed;

impl Writer {
    /// Adds a message whose body `write` writes.
    pub fn message(&mut self, kind: u16, flags: u16, sequence: u32, write: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.bytes(&[0; 4]);
        self.bytes(&kind.to_ne_bytes());
        self.bytes(&flags.to_ne_bytes());
        self.bytes(&sequence.to_ne_bytes());
        // The port: the kernel knows whom it hears.
        self.bytes(&[0; 4]);
        write(self);
        let length = u32::try_from(self.0.len() - start).expect("a message holds at most one rule");
        self.0[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Adds an attribute with a value.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.attribute_of(kind, |writer| writer.bytes(value));
    }

    /// Adds an attribute with a number as nftables writes them: 4 bytes, highest first.
    pub fn number(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_be_bytes());
    }

    /// Adds an attribute with a text, which the kernel wants to end with a zero.
    pub fn text(&mut self, kind: u16, value: &str) {
        self.attribute_of(kind, |writer| {
            writer.bytes(value.as_bytes());
            writer.bytes(&[0]);
        });
    }

    /// Adds an attribute that holds the attributes that `write` writes.
    pub fn nested(&mut self, kind: u16, write: impl FnOnce(&mut Self)) {
        self.attribute_of(kind | NESTED, write);
    }

    /// Adds what has a form of its own.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// All that was written.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    fn attribute_of(&mut self, kind: u16, write: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.bytes(&[0; 2]);
        self.bytes(&kind.to_ne_bytes());
        write(self);
        let length = u16::try_from(self.0.len() - start).expect("an attribute holds at most one rule");
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.0.resize(self.0.len().next_multiple_of(ALIGNMENT), 0);
    }
}

/// The messages in `bytes`.
pub fn messages(mut bytes: &[u8]) -> Result<Vec<Message<'_>>, Malformed> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let length = u32::from_ne_bytes(at(bytes, 0)?) as usize;
        let body = bytes.get(HEADER_BYTES..length).ok_or(Malformed)?;
        messages.push(Message {
            kind: u16::from_ne_bytes(at(bytes, 4)?),
            flags: u16::from_ne_bytes(at(bytes, 6)?),
            sequence: u32::from_ne_bytes(at(bytes, 8)?),
            body,
        });
        bytes = after(bytes, length);
    }
    Ok(messages)
}

/// The attributes in `bytes`: kinds and values.
pub fn attributes(mut bytes: &[u8]) -> Result<Vec<(u16, &[u8])>, Malformed> {
    let mut attributes = Vec::new();
    while !bytes.is_empty() {
        let length = usize::from(u16::from_ne_bytes(at(bytes, 0)?));
        let kind = u16::from_ne_bytes(at(bytes, 2)?) & KIND_MASK;
        attributes.push((kind, bytes.get(ATTRIBUTE_HEADER_BYTES..length).ok_or(Malformed)?));
        bytes = after(bytes, length);
    }
    Ok(attributes)
}

/// The value of the first attribute of `kind` in `bytes`, if they are attributes and it is there.
pub fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).ok()?.into_iter().find(|(found, _)| *found == kind).map(|(_, value)| value)
}

/// The same, for a number.
pub fn find_number(bytes: &[u8], kind: u16) -> Option<u32> {
    find(bytes, kind)?.try_into().ok().map(u32::from_be_bytes)
}

/// The same, for a text.
pub fn find_text(bytes: &[u8], kind: u16) -> Option<&str> {
    std::str::from_utf8(find(bytes, kind)?.strip_suffix(&[0])?).ok()
}

/// The number of an error that a message of the kind [`ERROR`] tells; 0 is success.
pub fn error_number(body: &[u8]) -> Result<i32, Malformed> {
    Ok(i32::from_ne_bytes(at(body, 0)?).saturating_neg())
}

/// `N` bytes from `start` on.
pub fn at<const N: usize>(bytes: &[u8], start: usize) -> Result<[u8; N], Malformed> {
    bytes.get(start..start + N).and_then(|part| part.try_into().ok()).ok_or(Malformed)
}

/// What follows the first `length` bytes and their padding, which the last one may lack.
fn after(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default()
}

#[cfg(test)]
mod tests;
