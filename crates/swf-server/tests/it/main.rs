//! Tests of the surfaces over real sockets.

mod pages;
mod pages_app;
mod pages_browser;
mod pages_links;
