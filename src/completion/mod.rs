//! The end of a dispatch, told to downstream systems.
