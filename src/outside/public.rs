//! Which addresses are on the public internet, by the registries of special addresses (RFC 6890). What is
//! not known to be public is not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether nothing but a public machine can be at `address`, whatever form it is written in.
pub(crate) const fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

const fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        [0 | 10 | 127 | 224.., ..] // this network, private, loopback, multicast and reserved
            | [100, 64..=127, ..] // shared by carriers
            | [169, 254, ..] // link-local
            | [172, 16..=31, ..] // private
            | [192, 0, 0 | 2, _] // protocols, documentation
            | [192, 88, 99, _] // relays from IPv6, given up
            | [192, 168, ..] // private
            | [198, 18 | 19, ..] // benchmarks
            | [198, 51, 100, _] // documentation
            | [203, 0, 113, _] // documentation
    )
}

const fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // An IPv4 address as IPv6 (RFC 4291 2.5.5.2), or behind the well-known NAT64 prefix (RFC 6052).
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            is_public_v4(Ipv4Addr::new(a, b, c, d))
        }
        // Protocols and tunnels (Teredo among them), documentation, 6to4.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // All else that was ever given out.
        [first, ..] => first >> 13 == 0b001,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("3.123.45.6", true)]
    #[case("8.8.8.8", true)]
    #[case("100.63.255.255", true)]
    #[case("100.128.0.1", true)]
    #[case("172.15.0.1", true)]
    #[case("172.32.0.1", true)]
    #[case("192.0.1.1", true)]
    #[case("198.20.0.1", true)]
    #[case("223.255.255.255", true)]
    #[case("0.0.0.0", false)]
    #[case("0.1.2.3", false)]
    #[case("10.0.0.1", false)]
    #[case("100.64.0.1", false)]
    #[case("100.127.255.255", false)]
    #[case("127.0.0.1", false)]
    #[case("127.255.255.254", false)]
    #[case("169.254.169.254", false)]
    #[case("172.16.0.1", false)]
    #[case("172.31.255.255", false)]
    #[case("192.0.0.8", false)]
    #[case("192.0.2.1", false)]
    #[case("192.88.99.1", false)]
    #[case("192.168.1.1", false)]
    #[case("198.18.0.1", false)]
    #[case("198.19.255.255", false)]
    #[case("198.51.100.7", false)]
    #[case("203.0.113.7", false)]
    #[case("224.0.0.1", false)]
    #[case("239.255.255.250", false)]
    #[case("240.0.0.1", false)]
    #[case("255.255.255.255", false)]
    #[case("2600:1f18::1", true)]
    #[case("2001:4860:4860::8888", true)]
    #[case("2a00:1450::1", true)]
    #[case("::", false)]
    #[case("::1", false)]
    #[case("::8.8.8.8", false)]
    #[case("::ffff:8.8.8.8", true)]
    #[case("::ffff:127.0.0.1", false)]
    #[case("::ffff:10.1.2.3", false)]
    #[case("::ffff:169.254.169.254", false)]
    #[case("::ffff:0:127.0.0.1", false)]
    #[case("64:ff9b::8.8.8.8", true)]
    #[case("64:ff9b::127.0.0.1", false)]
    #[case("64:ff9b::192.168.0.1", false)]
    #[case("64:ff9b::100.64.0.1", false)]
    #[case("64:ff9b:1::8.8.8.8", false)]
    #[case("100::1", false)]
    #[case("2001::1", false)]
    #[case("2001:10::1", false)]
    #[case("2001:db8::1", false)]
    #[case("2002:7f00:1::", false)]
    #[case("2002:808:808::", false)]
    #[case("3fff:fff::1", false)]
    #[case("5f00::1", false)]
    #[case("fc00::1", false)]
    #[case("fd12:3456::1", false)]
    #[case("fe80::1", false)]
    #[case("fec0::1", false)]
    #[case("ff02::1", false)]
    fn addresses(#[case] address: &str, #[case] public: bool) {
        assert_eq!(is_public(address.parse().unwrap()), public);
    }
}
