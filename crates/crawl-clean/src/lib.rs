//! Stage crawl-clean.
