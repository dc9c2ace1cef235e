//! Datagrams in batches.
