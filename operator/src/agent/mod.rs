//! The `MultiNIC` node agent: what it is told, what it decides, what it does to its host.
