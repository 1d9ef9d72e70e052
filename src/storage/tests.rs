//! Bundles in memory and in a folder, and archives that nobody should unpack.

use std::io::{Cursor, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{StreamExt, TryStreamExt, stream};
use rstest::rstest;
use serde_json::{Map, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;

fn bundle() -> BundleRef {
    BundleRef {
        bid: "b-1".parse().unwrap(),
        primary_url: "https://example.com/".into(),
    }
}

fn recipe() -> Recipe {
    Recipe { id: "test".into() }
}

fn body(bytes: impl Into<Bytes>) -> ByteStream {
    let bytes = bytes.into();
    // In small pieces, as they may come.
    let pieces: Vec<_> = bytes.chunks(1000).map(Bytes::copy_from_slice).map(Ok).collect();
    stream::iter(pieces).boxed()
}

async fn read(store: &Store, name: &str) -> Vec<u8> {
    let stream = store.read(&bundle().bid, name).await.unwrap();
    let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
    pieces.concat()
}

fn names(resources: &[Resource]) -> Vec<&str> {
    resources.iter().map(|r| r.name.as_str()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, content) in entries {
        out.start_file(*name, options).unwrap();
        out.write_all(content).unwrap();
    }
    out.finish().unwrap().into_inner()
}

#[tokio::test]
async fn a_folder_as_the_contract_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::file(folder.path()).unwrap();
    let context = store.start_bundle(&bundle(), &recipe()).await.unwrap();
    let page = "https://example.com/index.html";
    context
        .add_resource(page, "text/html", 200, body("<html>"))
        .await
        .unwrap();
    let large = vec![7_u8; 20 * 1024 * 1024];
    context
        .add_resource(
            "https://example.com/large.bin",
            "application/octet-stream",
            203,
            body(large.clone()),
        )
        .await
        .unwrap();
    // What a crash left: no meta, or no resource, or a name that is still temporary.
    let root = folder.path().join("bundle_b-1");
    for left in ["half.bin", "gone.bin.meta", "index.html#1"] {
        std::fs::write(root.join(left), "x").unwrap();
    }
    let mut meta = Map::new();
    meta.insert("a".into(), json!(1));
    let manifest = context.complete(meta.clone()).await.unwrap();
    let listed: Vec<_> = manifest.resources.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(listed, ["index.html", "large.bin"]);
    assert_eq!(manifest.storage_key, "bundle_b-1");
    let text = std::fs::read(root.join("bundle.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Manifest>(&text).unwrap(), manifest);
    let described: serde_json::Value =
        serde_json::from_slice(&std::fs::read(root.join("large.bin.meta")).unwrap()).unwrap();
    assert_eq!(
        (described["status_code"].as_u64(), described["size"].as_u64()),
        (Some(203), Some(20 << 20))
    );
    assert_eq!(read(&store, "large.bin").await, large);
    store.check().await.unwrap();
    assert_eq!(
        store.bundles().await.unwrap(),
        [bundle().bid],
        "a check leaves nothing"
    );

    // The same URL again replaces it, and so does another list.
    context
        .add_resource(page, "text/html", 200, body("<p>"))
        .await
        .unwrap();
    let again = context.complete(meta).await.unwrap();
    assert_ne!(again.resources[0].sha256, manifest.resources[0].sha256);
    assert_eq!(read(&store, "index.html").await, b"<p>");
    store.remove_bundle(&bundle().bid).await.unwrap();
    assert_eq!(store.manifest(&bundle().bid).await.unwrap(), None);
}

#[tokio::test]
async fn different_urls_are_different_resources() {
    let store = Store::memory();
    let context = store.start_bundle(&bundle(), &recipe()).await.unwrap();
    for url in [
        "https://a/x.html",
        "https://b/x.html",
        "https://c/X.HTML",
        "https://d/..",
        "https://d/..",
    ] {
        context
            .add_resource(url, "text/html", 200, body(url))
            .await
            .unwrap();
    }
    let found = store.resources(&bundle().bid).await.unwrap();
    assert_eq!(found.len(), 4, "{found:?}");
    assert_eq!(read(&store, "x.html").await, b"https://a/x.html");
    // Also for whoever goes on with it later.
    let later = store.start_bundle(&bundle(), &recipe()).await.unwrap();
    let added = later
        .add_resource("https://e/x.html", "text/html", 200, body("e"))
        .await
        .unwrap();
    assert_ne!(added[0].name, "x.html");
}

#[tokio::test]
async fn what_breaks_off_is_nothing() {
    let store = Store::memory();
    let context = store.start_bundle(&bundle(), &recipe()).await.unwrap();
    for size in [10, 9 * 1024 * 1024] {
        let broken = body(vec![1_u8; size]).chain(stream::once(async { Err(io::Error::other("gone")) }));
        let added = context
            .add_resource("https://a/x", "a/b", 200, broken.boxed())
            .await;
        assert!(added.is_err());
    }
    assert_eq!(store.resources(&bundle().bid).await.unwrap(), []);
}

#[tokio::test]
async fn packed_ones_are_unpacked() {
    let store = Store::memory();
    let storage = StorageBuilder::new(store.clone())
        .unzip(Limits::default())
        .build();
    let context = storage.start_bundle(&bundle(), &recipe()).await.unwrap();
    let inner = zipped(&[("deep.txt", b"deep")]);
    let zip = zipped(&[("a.txt", b"A"), ("dir/b.txt", b"B"), ("inner.zip", &inner)]);
    let added = context
        .add_resource("https://a/x.zip", "application/zip", 200, body(zip))
        .await
        .unwrap();
    assert_eq!(names(&added), ["a.txt", "b.txt", "inner.zip"]);
    assert_eq!(read(&store, "inner.zip").await, inner, "not recursed");
    let added = context
        .add_resource("https://a/x.pdf.gz", "a/b", 200, body(gzip(b"%PDF")))
        .await
        .unwrap();
    assert_eq!(
        (names(&added), added[0].encoding.as_str()),
        (vec!["x.pdf"], "gzip")
    );
    assert_eq!(read(&store, "x.pdf").await, b"%PDF");
    let added = context
        .add_resource("https://a/plain", "a/b", 200, body("plain"))
        .await
        .unwrap();
    assert_eq!(
        (names(&added), added[0].encoding.as_str()),
        (vec!["plain"], "identity")
    );
}

/// A gzip of ten megabytes that becomes ten gigabytes, in small: zeros.
fn bomb() -> Vec<u8> {
    gzip(&vec![0; 8 << 20])
}

fn truncated() -> Vec<u8> {
    let whole = zipped(&[("a.txt", &[1; 5000])]);
    whole[..whole.len() / 2].to_vec()
}

fn wrong_crc() -> Vec<u8> {
    let mut zip = zipped(&[("a.txt", b"some content")]);
    let at = memchr::memmem::find(&zip, b"some content").unwrap();
    zip[at] ^= 1;
    zip
}

fn overlapping() -> Vec<u8> {
    let mut zip = zipped(&[("a.txt", b"some content"), ("b.txt", b"some content")]);
    // The second entry of the central directory points to the first one's header.
    let second = memchr::memmem::rfind(&zip, b"PK\x01\x02").unwrap();
    zip[second + 42..second + 46].copy_from_slice(&[0; 4]);
    zip
}

fn symlink() -> Vec<u8> {
    let mut out = ZipWriter::new(Cursor::new(Vec::new()));
    out.add_symlink("link", "/etc/passwd", SimpleFileOptions::default())
        .unwrap();
    out.finish().unwrap().into_inner()
}

fn many() -> Vec<u8> {
    let names: Vec<String> = (0..10_001).map(|n| n.to_string()).collect();
    let entries: Vec<_> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    zipped(&entries)
}

#[rstest]
#[case::bomb(bomb())]
#[case::cut_gzip(gzip(b"some text")[..15].to_vec())]
#[case::leads_up(zipped(&[("fine.txt", b"x"), ("../x", b"x")]))]
#[case::leads_up_the_other_way(zipped(&[("a\\..\\..\\x", b"x")]))]
#[case::absolute(zipped(&[("/etc/x", b"x")]))]
#[case::drive(zipped(&[("c:x", b"x")]))]
#[case::symlink(symlink())]
#[case::many(many())]
#[case::truncated(truncated())]
#[case::wrong_crc(wrong_crc())]
#[case::overlapping(overlapping())]
#[case::no_zip(b"PK\x03\x04 but nothing else".to_vec())]
#[tokio::test]
async fn hostile_ones_are_kept_as_they_came(#[case] hostile: Vec<u8>) {
    let store = Store::memory();
    let storage = StorageBuilder::new(store.clone())
        .unzip(Limits::default())
        .build();
    let context = storage.start_bundle(&bundle(), &recipe()).await.unwrap();
    let added = context
        .add_resource("https://a/x.bin", "a/b", 200, body(hostile.clone()))
        .await
        .unwrap();
    assert_eq!(names(&added), ["x.bin"]);
    assert!(added[0].unzip_error.is_some(), "{added:?}");
    assert_eq!(read(&store, "x.bin").await, hostile);
    assert_eq!(
        store.resources(&bundle().bid).await.unwrap(),
        added,
        "nothing else"
    );
}

#[tokio::test]
async fn all_in_one_file() {
    let store = Store::memory();
    let storage = StorageBuilder::new(store.clone())
        .bundler()
        .unzip(Limits::default())
        .build();
    let context = storage.start_bundle(&bundle(), &recipe()).await.unwrap();
    for n in 0..5 {
        let url = format!("https://a/{n}.txt");
        context
            .add_resource(&url, "text/plain", 200, body(vec![n; 3000]))
            .await
            .unwrap();
    }
    let first = context.complete(Map::new()).await.unwrap();
    assert_eq!(first.resources_count, 5);
    assert_eq!(store.loose(&bundle().bid).await.unwrap(), []);
    let found = store.resources(&bundle().bid).await.unwrap();
    assert_eq!(found.len(), 5);
    assert_eq!(read(&store, "3.txt").await, [3; 3000]);

    // Further ones, a replaced one, and again without any.
    context
        .add_resource("https://a/9.txt", "text/plain", 200, body("nine"))
        .await
        .unwrap();
    context
        .add_resource("https://a/0.txt", "text/plain", 200, body("zero"))
        .await
        .unwrap();
    // Before it is completed, or after a crash, what is there is there once.
    assert_eq!(store.resources(&bundle().bid).await.unwrap().len(), 6);
    for _ in 0..2 {
        let later = storage.start_bundle(&bundle(), &recipe()).await.unwrap();
        let manifest = later.complete(Map::new()).await.unwrap();
        assert_eq!(manifest.resources_count, 6);
        assert_eq!(read(&store, "0.txt").await, b"zero");
        assert_eq!(read(&store, "9.txt").await, b"nine");
        assert_eq!(read(&store, "4.txt").await, [4; 3000]);
    }
    // Another URL never takes the name of what is packed, and half of a resource hides nothing.
    let later = storage.start_bundle(&bundle(), &recipe()).await.unwrap();
    let added = later
        .add_resource("https://b/4.txt", "text/plain", 200, body("b"))
        .await
        .unwrap();
    assert_ne!(added[0].name, "4.txt");
    let half = store.layout.resource(&bundle().bid, "9.txt");
    object_store::ObjectStoreExt::put(&*store.objects, &half, "half".into())
        .await
        .unwrap();
    later.complete(Map::new()).await.unwrap();
    assert_eq!(read(&store, "4.txt").await, [4; 3000]);
    assert_eq!(read(&store, "9.txt").await, b"nine");
    let missing = store.read(&bundle().bid, "8.txt").await;
    assert!(matches!(missing, Err(StorageError::NotThere(_))));
}

/// Somebody's own storage below a decorator of Herald's.
#[tokio::test]
async fn decorators_stack_on_any_storage() {
    let store = Store::memory();
    let own: Arc<dyn Storage> = Arc::new(store.clone());
    let storage = StorageBuilder::of(own).unzip(Limits::default()).build();
    let context = storage.start_bundle(&bundle(), &recipe()).await.unwrap();
    context
        .add_resource("https://a/x.gz", "a/b", 200, body(gzip(b"x")))
        .await
        .unwrap();
    assert_eq!(context.complete(Map::new()).await.unwrap().resources_count, 1);
}
