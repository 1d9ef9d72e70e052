//! gzip, of one or several members.

use async_compression::tokio::bufread::GzipDecoder;
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt as _, BufReader};
use tokio_util::io::ReaderStream;

use super::Limits;
use super::spool::Spool;
use crate::storage::{BundleContext, Incoming, Resource, StorageError};

/// Bytes unpacked at once.
const STEP: usize = 256 * 1024;

pub(super) async fn unpack(
    inner: &dyn BundleContext,
    what: &Incoming,
    spool: &Spool,
    limits: Limits,
) -> Result<Vec<Resource>, StorageError> {
    look_through(spool, limits).await?;
    let unpacked = Incoming {
        url: unpacked_url(&what.url),
        encoding: "gzip".to_owned(),
        ..what.clone()
    };
    let stream = ReaderStream::with_capacity(decoder(spool).await?, STEP);
    inner.add(unpacked, stream.boxed()).await
}

async fn decoder(spool: &Spool) -> Result<GzipDecoder<BufReader<tokio::fs::File>>, StorageError> {
    let mut decoder = GzipDecoder::new(BufReader::with_capacity(STEP, spool.reader().await?));
    decoder.multiple_members(true);
    Ok(decoder)
}

/// To its end, its checksum included.
async fn look_through(spool: &Spool, limits: Limits) -> Result<(), StorageError> {
    let (mut decoder, mut piece, mut out) = (decoder(spool).await?, vec![0; STEP], 0_u64);
    loop {
        let read = decoder.read(&mut piece).await;
        // Whatever is wrong with it, it is what came that is wrong.
        let read = read.map_err(|e| StorageError::Refused(format!("it is not gzip to its end ({e})")))?;
        if read == 0 {
            return Ok(());
        }
        out += read as u64;
        if let Some(why) = limits.exceeded(spool.size, out) {
            return Err(StorageError::Refused(why));
        }
    }
}

/// The name without its `.gz` stands behind the number sign, as if it were an archive's entry.
fn unpacked_url(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let lower = last.to_ascii_lowercase();
    match lower.strip_suffix(".gz") {
        Some(stem) if !stem.is_empty() => format!("{url}#{}", &last[..stem.len()]),
        _ => match lower.strip_suffix(".tgz") {
            Some(stem) => format!("{url}#{}.tar", &last[..stem.len()]),
            None => url.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("https://a/x.pdf.gz", "https://a/x.pdf.gz#x.pdf")]
    #[case("https://a/x.pdf.GZ?q=1", "https://a/x.pdf.GZ?q=1#x.pdf")]
    #[case("https://a/x.tgz", "https://a/x.tgz#x.tar")]
    #[case("https://a/.gz", "https://a/.gz")]
    #[case("https://a/x", "https://a/x")]
    fn urls(#[case] url: &str, #[case] unpacked: &str) {
        assert_eq!(unpacked_url(url), unpacked);
    }
}
