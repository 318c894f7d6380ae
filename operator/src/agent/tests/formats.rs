//! What is written, to the letter.
