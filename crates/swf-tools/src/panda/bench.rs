//! How long each tool takes.
