//! The client to which limits and queues belong.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

/// Identifies a client: by its name if it is authenticated, otherwise by its address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClientKey {
    /// The first name in its certificate.
    Name(Arc<str>),
    /// Its IPv4 address, or the first 64 bits of its IPv6 address: one host can use all addresses
    /// of that network (RFC 7934).
    Address(IpAddr),
    /// All other clients together.
    #[default]
    Others,
}

impl ClientKey {
    pub fn of(names: &[String], address: IpAddr) -> Self {
        names.first().map_or_else(|| Self::of_address(address), |name| Self::Name(name.as_str().into()))
    }

    pub fn of_address(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
            address => address,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_its_first_name_or_else_its_address_or_ipv6_network() {
        let key = |address: &str| ClientKey::of(&[], address.parse().expect("an address"));
        assert_eq!(ClientKey::of(&["a".into(), "b".into()], Ipv6Addr::LOCALHOST.into()), ClientKey::Name("a".into()));
        assert_eq!(key("::ffff:10.1.2.3"), key("10.1.2.3"));
        assert_ne!(key("10.1.2.4"), key("10.1.2.3"));
        assert_eq!(key("2001:db8:1:2::3"), key("2001:db8:1:2:ffff::4"));
        assert_ne!(key("2001:db8:1:2::3"), key("2001:db8:1:3::3"));
    }
}
