//! What happened in a run, as one closed enum.
