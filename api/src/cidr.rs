//! A range of IP addresses, written `10.0.0.0/8` or `fd00::/8` (RFC 4632, RFC 4291).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    address: IpAddr,
    length: u8,
}

impl Cidr {
    /// The addresses whose first `length` bits are those of `address`; the error says what is wrong.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, String> {
        let bits = bits_of(address);
        if length > bits {
            return Err(format!("`{address}/{length}` names more than the {bits} bits of the address"));
        }
        let first = first(address, length);
        if first != address {
            return Err(format!("`{address}/{length}` has bits beyond its prefix; write `{first}/{length}`"));
        }
        Ok(Self { address, length })
    }

    /// The first of the addresses.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// How many bits they share.
    pub fn length(self) -> u8 {
        self.length
    }

    /// Whether `address` is one of them. An IPv4 address inside of IPv6 (`::ffff:10.0.0.1`) is taken for itself.
    pub fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && first(address, self.length) == self.address
    }
}

fn bits_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// `address` with all bits after the first `length` cleared.
fn first(address: IpAddr, length: u8) -> IpAddr {
    let cleared = u32::from(bits_of(address).saturating_sub(length));
    match address {
        // A shift by all bits is none to `<<`.
        IpAddr::V4(v4) => {
            Ipv4Addr::from_bits(v4.to_bits() & u32::MAX.checked_shl(cleared).unwrap_or(0)).into()
        }
        IpAddr::V6(v6) => {
            Ipv6Addr::from_bits(v6.to_bits() & u128::MAX.checked_shl(cleared).unwrap_or(0)).into()
        }
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(address, length)| {
            let digits = length.bytes().all(|byte| byte.is_ascii_digit());
            Some((address.parse().ok()?, length.parse().ok().filter(|_| digits)?))
        });
        let (address, length) = parts
            .ok_or_else(|| format!("`{text}` is no network such as `10.0.0.0/8`; one address is a `/32`"))?;
        Self::new(address, length)
    }
}

impl TryFrom<String> for Cidr {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests;
