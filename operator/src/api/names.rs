//! Newtypes for names and addresses, so that a parsed value cannot be confused with a raw one.
