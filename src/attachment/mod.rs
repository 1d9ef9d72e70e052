//! Files that go along with e-mails.
