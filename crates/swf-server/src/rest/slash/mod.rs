//! `POST /api/slash/panda/`: the `/panda` command of Mattermost, made from the PanDA tools.
//!
//! *Invariant:* nothing is kept between two commands; where a page ends stands in the command for the next one.

mod answers;
mod markdown;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};
use swf_tools::{Caller, Gate, Scope, Surface};

use super::Shared;
use super::call::{Call, Guard, ok, serve};
use super::fault::answer;
use super::special::text;
use crate::auth::same;

/// Mattermost gives a command up after three seconds; what takes longer is sent later.
const PROMPT: Duration = Duration::from_millis(2200);
/// A late answer may take so long to deliver.
const DELIVERY: Duration = Duration::from_secs(10);

/// `POST /api/slash/panda/`
pub(super) async fn panda(State(rest): Shared, request: Request) -> Response {
    serve(
        rest,
        |_| Guard::OPEN,
        request,
        async |mut call: Call| {
            call.only(Method::POST)?;
            let body = call.body().await?.json();
            let secret = &call.config().slash_token;
            if secret.is_empty() || !same(text(&body, "token").as_bytes(), secret.as_bytes()) {
                return Ok(answer(StatusCode::UNAUTHORIZED, &json!({"text": "Unauthorized."})));
            }
            // Names of another system are never names of accounts here.
            let caller = Caller::user(format!("mattermost:{}", text(&body, "user_name")), Scope::Read);
            let gate = Gate { service: call.rest.app.service.clone(), caller, surface: Surface::Rest };
            Ok(ok(&json!({"text": prompt(gate, &body).await})))
        },
    )
    .await
}

/// The answer, or the promise of one.
async fn prompt(gate: Gate, body: &Value) -> String {
    let words = text(body, "text");
    let asked = words.clone();
    let mut work = tokio::spawn(async move { answers::answer(&Arc::new(gate), &asked).await });
    match tokio::time::timeout(PROMPT, &mut work).await {
        Ok(Ok(text)) => text,
        Ok(Err(e)) => {
            tracing::error!("/panda {words} failed: {e}");
            "Error: the command failed; the server log says why".into()
        }
        Err(_) => {
            let place = text(body, "response_url");
            if place.is_empty() {
                return work.await.unwrap_or_else(|e| format!("Error: {e}"));
            }
            tokio::spawn(async move {
                let text = work.await.unwrap_or_else(|e| format!("Error: {e}"));
                if let Err(e) = deliver(&place, &text).await {
                    tracing::warn!("the answer to /panda {words} could not be sent: {}", e.without_url());
                }
            });
            "This takes a moment; the answer follows.".into()
        }
    }
}

async fn deliver(place: &str, text: &str) -> Result<(), reqwest::Error> {
    let client = reqwest::Client::builder().timeout(DELIVERY).redirect(reqwest::redirect::Policy::none());
    client.build()?.post(place).json(&json!({"text": text})).send().await?.error_for_status().map(drop)
}
