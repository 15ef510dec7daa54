//! Mattermost: its REST interface, its event socket, and posts that fit.

mod api;
mod socket;
mod split;

pub use api::{Api, Post, User};
pub use socket::{Event, Socket};
pub use split::split;
