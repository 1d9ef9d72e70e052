//! Bundles: named resources with their hashes, in a folder or in S3.
