//! Watch streams: resume, bookmarks, 410, streaming lists.
