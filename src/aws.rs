//! Clients of AWS's services, or of what speaks their language.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_sqs::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::{Builder, tls};
use secrecy::ExposeSecret;

use crate::config::AwsConfig;
use crate::domain::one_line;

/// Longest text of a service that is repeated, in characters.
const MAX_TEXT: usize = 300;

/// What all clients share. Without credentials of our own the usual places are asked when they are needed.
pub(crate) async fn sdk(config: &AwsConfig) -> SdkConfig {
    let http = Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .region(Region::new(config.region.clone()));
    if let Some(endpoint) = &config.endpoint {
        loader = loader.endpoint_url(endpoint.as_str());
    }
    if let Some((id, secret, session)) = &config.credentials {
        let session = session.as_ref().map(|token| token.expose_secret().to_owned());
        loader = loader.credentials_provider(Credentials::new(
            id,
            secret.expose_secret(),
            session,
            None,
            "environment",
        ));
    }
    loader.load().await
}

/// What a service said, in one line; where it said nothing, what kept it from answering.
pub(crate) fn said<E, R>(error: &SdkError<E, R>) -> String
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
    R: std::fmt::Debug,
{
    let said = match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => DisplayErrorContext(error).to_string(),
    };
    one_line(&said, MAX_TEXT)
}

/// A client of SQS.
pub(crate) async fn sqs(config: &AwsConfig) -> aws_sdk_sqs::Client {
    aws_sdk_sqs::Client::new(&sdk(config).await)
}
