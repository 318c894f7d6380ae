//! Runs scenarios: the dispatcher owns state, the executor runs one step, reports say what happened.
