//! What a large resource costs: so many MiB of gzip through unzip into the configured storage, and the memory
//! that took.
//!
//!     OC_STORAGE_TYPE=file cargo run --release --example bundles -- 1024

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{StreamExt as _, stream};
use herald::config::Config;
use herald::storage::{BundleRef, ByteStream, Limits, Recipe, StorageBuilder, from_config};

/// Bytes that are made at once.
const PIECE: usize = 1 << 20;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let size: usize = std::env::args().nth(1).unwrap_or_else(|| "1024".into()).parse()?;
    let config = Config::load()?;
    let (store, _) = from_config(&config.storage, &config.aws)?.ok_or("OC_STORAGE_TYPE is none")?;
    let storage = StorageBuilder::new(store.clone())
        .unzip(Limits::default())
        .build();
    let bundle = BundleRef {
        bid: format!("example-{}", std::process::id()).parse()?,
        primary_url: "https://example.com/".into(),
    };
    let context = storage
        .start_bundle(&bundle, &Recipe { id: "example".into() })
        .await?;
    let begun = std::time::Instant::now();
    let url = "https://example.com/large.bin.gz";
    let added = context
        .add_resource(url, "application/octet-stream", 200, packed(size))
        .await?;
    context.complete(serde_json::Map::new()).await?;
    let (seconds, stored) = (begun.elapsed().as_secs_f64(), added[0].size >> 20);
    println!("{stored} MiB stored in {seconds:.1} s; peak memory {} MB", peak());
    store.remove_bundle(&bundle.bid).await?;
    Ok(())
}

/// gzip of `size` MiB, made as it is taken; about half of it packs.
fn packed(size: usize) -> ByteStream {
    let encoder = GzEncoder::new(Vec::new(), Compression::fast());
    stream::unfold(
        (0, 1_u64, Some(encoder)),
        move |(made, mut seed, encoder)| async move {
            let mut encoder = encoder?;
            if made == size {
                return Some((encoder.finish().map(Bytes::from), (made, seed, None)));
            }
            let mut piece = vec![0; PIECE];
            for chunk in piece.chunks_mut(16) {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                chunk[..8].copy_from_slice(&seed.to_le_bytes());
            }
            let out = encoder
                .write_all(&piece)
                .map(|()| Bytes::from(std::mem::take(encoder.get_mut())));
            Some((out, (made + 1, seed, Some(encoder))))
        },
    )
    .boxed()
}

/// `VmHWM`, in MB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}
