//! Every tool as a plain HTTP call: `POST /api/v1/tools/<name>` with JSON arguments.

use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use swf_tools::{Gate, Surface, registry};

use super::call::{Call, Guard, ok, serve};
use super::fault::Fault;
use super::{Key, Shared};
use crate::problem::Problem;

/// `GET /api/v1/tools/`: what there is.
pub(super) async fn list(State(rest): Shared, request: Request) -> Response {
    serve(
        rest,
        |_| Guard::OPEN,
        request,
        async |call: Call| {
            call.only(Method::GET)?;
            let tools: Vec<Value> = registry::all()
                .map(|tool| {
                    json!({
                        "name": tool.name,
                        "title": tool.title,
                        "description": tool.description(),
                        "scope": tool.scope,
                        "toolset": tool.toolset.as_str(),
                        "read_only": tool.hints.read_only,
                        "input_schema": tool.input_schema(),
                    })
                })
                .collect();
            Ok(ok(&json!({"count": tools.len(), "tools": tools})))
        },
    )
    .await
}

/// `POST /api/v1/tools/<name>/`, or `GET` with the arguments in the query for tools that only look.
pub(super) async fn call(State(rest): Shared, name: Key, request: Request) -> Response {
    // The gate checks the scope; wrong credentials are refused with 401 before.
    let guard = Guard::any_valid();
    serve(
        rest,
        |_| guard,
        request,
        async |mut call: Call| {
            let name = name.map_err(|_| Fault::not_found())?.0;
            let arguments = match call.method {
                Method::POST => call.body().await?.json(),
                Method::GET if registry::find(&name).is_none_or(|t| t.hints.read_only) => {
                    let pairs = call.query.iter().filter(|(n, _)| n != "format");
                    Value::Object(pairs.map(|(n, v)| (n.clone(), v.clone().into())).collect::<Map<_, _>>())
                }
                _ => return Err(call.no_method("POST, OPTIONS")),
            };
            let service = call.rest.app.service.clone();
            let gate = Gate { service, caller: call.caller.clone(), surface: Surface::Rest };
            Ok(match gate.call(&name, arguments).await {
                Ok(answer) => ok(&answer),
                Err(e) if registry::find(&name).is_none() => {
                    let hint = e.to_string();
                    let error = swf_tools::Error::not_found("tool", &name, hint);
                    Problem::new(&error, &call.caller).into_response()
                }
                Err(e) => Problem::new(&e, &call.caller).into_response(),
            })
        },
    )
    .await
}
