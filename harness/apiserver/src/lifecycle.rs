//! Create, update and delete as state transitions: generation, finalizers, graceful deletion, preconditions, dry run.
