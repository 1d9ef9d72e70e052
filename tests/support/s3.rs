//! A bucket of one test's own at `HERALD_TEST_AWS`. moto takes any signature, so plain HTTP does.

#![expect(clippy::unwrap_used, reason = "a test fails where its tools do")]

use super::aws::endpoint;

pub struct Bucket {
    pub name: String,
}

impl Bucket {
    /// The name alone.
    pub fn absent() -> Self {
        let name = format!("test-{}", uuid::Uuid::new_v4());
        Self { name }
    }

    pub async fn new() -> Self {
        let bucket = Self::absent();
        bucket.create().await;
        bucket
    }

    pub async fn create(&self) {
        let put = reqwest::Client::new().put(self.url(""));
        let answer = put.header("Authorization", AUTHORIZATION).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// What is stored under this key.
    pub async fn get(&self, key: &str) -> Vec<u8> {
        let get = reqwest::Client::new().get(self.url(key));
        let answer = get.header("Authorization", AUTHORIZATION).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{key}");
        answer.bytes().await.unwrap().to_vec()
    }

    fn url(&self, key: &str) -> String {
        format!("{}/{}/{key}", endpoint().trim_end_matches('/'), self.name)
    }
}

/// Looks like a signature.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, \
                             SignedHeaders=host, Signature=0";
