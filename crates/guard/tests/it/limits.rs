//! What limits cost: memory and time.
