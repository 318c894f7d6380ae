//! The entry: a tower service over HTTP requests.
