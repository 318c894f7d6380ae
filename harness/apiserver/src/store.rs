//! Revisioned objects with history; the bytes of a revision are serialised once and shared.
