//! The controllers. None of them imports another.

pub mod multinic;
