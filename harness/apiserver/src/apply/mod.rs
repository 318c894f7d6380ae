//! Server-side apply: field sets, managers, conflicts and merge by schema.
