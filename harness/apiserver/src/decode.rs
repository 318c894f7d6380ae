//! Bytes to JSON objects: JSON and YAML bodies, duplicate and unknown fields, field validation levels.
