//! The documents kubectl and clients use to find resources.
