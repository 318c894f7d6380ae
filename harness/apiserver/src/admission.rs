//! What may still refuse or change a valid request: namespace lifecycle.
