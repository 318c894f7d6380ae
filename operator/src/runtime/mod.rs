//! Runs the chosen controllers.
