//! The files that pages need, inside the binary.

use std::fmt::Write;
use std::sync::LazyLock;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

const FILES: [(&str, &str, &str); 3] = [
    ("style.css", "text/css; charset=utf-8", include_str!("static/style.css")),
    ("page.js", "text/javascript; charset=utf-8", include_str!("static/page.js")),
    ("icon.svg", "image/svg+xml", include_str!("static/icon.svg")),
];

/// Changes with any of the files, so that browsers may keep them.
static MARK: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for (_, _, content) in FILES {
        hash.update(content);
    }
    hash.finalize().iter().take(4).fold(String::new(), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
});

/// The address of a file, with the mark of its content.
pub fn address(name: &str) -> String {
    format!("/static/{name}?v={}", *MARK)
}

/// A file by name.
pub fn file(name: &str) -> Option<Response> {
    let (_, kind, content) = FILES.into_iter().find(|(n, _, _)| *n == name)?;
    let mut response = (StatusCode::OK, [(header::CONTENT_TYPE, kind)], content).into_response();
    let kept = HeaderValue::from_static("public, max-age=86400");
    response.headers_mut().insert(header::CACHE_CONTROL, kept);
    Some(super::body::guarded(response))
}
