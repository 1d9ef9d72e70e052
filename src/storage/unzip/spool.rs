//! What came, in a file without a name: it goes with the last handle, whatever happens.

use std::fs::File;
use std::io::SeekFrom;

use futures_util::{StreamExt, TryStreamExt};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use tokio_util::io::ReaderStream;

use crate::storage::{ByteStream, StorageError};

/// Bytes read at once.
const STEP: usize = 256 * 1024;

/// The spooled file.
pub(super) struct Spool {
    file: File,
    pub(super) size: u64,
}

impl Spool {
    /// Takes all of `body`.
    pub(super) async fn fill(mut body: ByteStream) -> Result<Self, StorageError> {
        let file = tokio::task::spawn_blocking(tempfile::tempfile)
            .await
            .map_err(std::io::Error::other)??;
        let mut out = tokio::fs::File::from_std(file);
        let mut size = 0;
        while let Some(piece) = body.try_next().await? {
            size += piece.len() as u64;
            out.write_all(&piece).await?;
        }
        out.flush().await?;
        let file = out.into_std().await;
        Ok(Self { file, size })
    }

    /// From its beginning, for one reader at a time: the place where it is read is the file's.
    pub(super) async fn reader(&self) -> Result<tokio::fs::File, StorageError> {
        let mut file = tokio::fs::File::from_std(self.file.try_clone()?);
        file.seek(SeekFrom::Start(0)).await?;
        Ok(file)
    }

    /// The same as a stream.
    pub(super) async fn stream(&self) -> Result<ByteStream, StorageError> {
        Ok(ReaderStream::with_capacity(self.reader().await?, STEP).boxed())
    }

    /// The same for what blocks.
    pub(super) fn blocking(&self) -> Result<File, StorageError> {
        Ok(self.file.try_clone()?)
    }
}
