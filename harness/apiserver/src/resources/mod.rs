//! What each kind adds to its schema: defaulting, validation, immutability, status split and printer columns.
