//! Credentials for S3: those that are given, else what is found in the usual places when it is needed.

use std::sync::Arc;

use async_trait::async_trait;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use object_store::CredentialProvider;
use object_store::aws::{AwsCredential, AwsCredentialProvider};
use tokio::sync::OnceCell;

use crate::aws;
use crate::config::AwsConfig;

/// The given credentials, or what the SDK finds in the usual places when it is asked.
pub(super) fn credentials(config: &AwsConfig) -> AwsCredentialProvider {
    Arc::new(Usual(config.clone(), OnceCell::new()))
}

#[derive(Debug)]
struct Usual(AwsConfig, OnceCell<SharedCredentialsProvider>);

#[async_trait]
impl CredentialProvider for Usual {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let failed = |text: String| object_store::Error::Generic {
            store: "S3",
            source: text.into(),
        };
        let find = || async {
            let sdk = aws::sdk(&self.0).await;
            sdk.credentials_provider()
                .ok_or_else(|| failed("no credentials are configured".into()))
        };
        let provider = self.1.get_or_try_init(find).await?;
        // The provider keeps what it found until that runs out.
        let found = provider.provide_credentials().await;
        let found = found.map_err(|e| failed(format!("no credentials: {e}")))?;
        Ok(Arc::new(AwsCredential {
            key_id: found.access_key_id().to_owned(),
            secret_key: found.secret_access_key().to_owned(),
            token: found.session_token().map(str::to_owned),
        }))
    }
}
