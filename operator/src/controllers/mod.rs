//! The controllers. None of them imports another.

pub mod drain;
pub mod hello;
pub mod multinic;
