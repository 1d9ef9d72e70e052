//! A file that comes packed and is to be sent along under the name of what is inside.

use std::io::Read as _;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use super::error::Failure;

/// The first bytes of gzip with deflate (RFC 1952 2.3.1).
const GZIP: &[u8] = &[0x1f, 0x8b, 8];

/// Ends of names of what stays packed.
const PACKED: [&str; 3] = [".gz", ".tgz", ".gzip"];

/// What is sent along: what is gzip by its content, and not by its name, is unpacked, up to `limit` bytes.
pub(super) fn unpacked(name: &str, came: &Bytes, limit: usize) -> Result<Bytes, Failure> {
    let name = name.trim_end().to_ascii_lowercase();
    if !came.starts_with(GZIP) || PACKED.iter().any(|end| name.ends_with(end)) {
        return Ok(came.clone());
    }
    let mut out = Vec::new();
    let mut decoder = MultiGzDecoder::new(came.as_ref()).take(limit as u64 + 1);
    decoder
        .read_to_end(&mut out)
        .map_err(|e| Failure::ForGood(format!("it is not gzip to its end ({e})")))?;
    if out.len() > limit {
        return Err(Failure::ForGood(format!(
            "unpacked it has more than {limit} bytes"
        )));
    }
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    fn packed(plain: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn the_name_says_what_it_is_to_be() {
        let gzip = packed(b"plain");
        assert_eq!(unpacked("agenda.pdf", &gzip, 5).unwrap(), "plain");
        assert_eq!(unpacked("agenda.pdf.GZ ", &gzip, 5).unwrap(), gzip);
        assert_eq!(
            unpacked("a.zip", &Bytes::from_static(b"PK\x03\x04"), 9).unwrap(),
            "PK\x03\x04".as_bytes()
        );
        let twice = [packed(b"one"), packed(b"two")].concat().into();
        assert_eq!(unpacked("a", &twice, 6).unwrap(), "onetwo");
    }

    #[test]
    fn what_is_broken_or_grows_is_refused() {
        let gzip = packed(&vec![0; 1 << 20]);
        let why = |came: &Bytes, limit| match unpacked("a", came, limit).unwrap_err() {
            Failure::ForGood(why) => why,
            Failure::ForNow(why) => panic!("{why}"),
        };
        assert_eq!(
            why(&gzip, (1 << 20) - 1),
            "unpacked it has more than 1048575 bytes"
        );
        for cut in [2, 8, 20, gzip.len() - 3] {
            let half = gzip.slice(..gzip.len() - cut);
            assert!(why(&half, 1 << 20).starts_with("it is not gzip"), "{cut}");
        }
    }
}
