//! Whether a store does what it is asked to.

use object_store::ObjectStoreExt as _;

use super::{BundleId, StorageError, Store};
use crate::domain::DispatchId;

impl Store {
    /// Writes something, reads it back and removes it.
    ///
    /// # Errors
    /// Whatever of that does not work.
    pub async fn check(&self) -> Result<(), StorageError> {
        let bid = BundleId::from(DispatchId::generate());
        let path = self.layout.resource(&bid, "probe");
        self.objects.put(&path, "probe".into()).await?;
        let read = self.objects.get(&path).await?.bytes().await?;
        self.objects.delete(&path).await?;
        if read.as_ref() == b"probe" {
            Ok(())
        } else {
            Err(StorageError::Passing(
                "what was written is not what is read".into(),
            ))
        }
    }
}
