//! How much a path carries, and how that is shared and paced.
