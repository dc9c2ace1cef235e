//! The relay of live video: one publisher in, any number of viewers out.
