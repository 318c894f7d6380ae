//! The only source of time and chance of a run.
