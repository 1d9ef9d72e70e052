//! Whom requests that others name may reach.
