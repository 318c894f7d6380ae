//! Patches: JSON (RFC 6902), merge (RFC 7386) and strategic merge.
