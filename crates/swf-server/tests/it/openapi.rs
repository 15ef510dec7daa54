//! The interface's document: valid, complete, current, and true.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use swf_db::testing::on_sqlite;
use swf_server::openapi;
use swf_tools::tables::SCHEMA;
use swf_tools::{Toolset, registry};

use crate::rig::{Rig, Wishes, production};
use crate::scripts;

/// Compares a generated file with what it should be; under `SWF_UPDATE_DOCS=1` writes it.
fn current(name: &str, text: &str) {
    let path = docs().join(name);
    if std::env::var("SWF_UPDATE_DOCS").is_ok_and(|v| v == "1") {
        std::fs::create_dir_all(docs()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let difference = kept.lines().zip(text.lines()).position(|(a, b)| a != b);
    let line = difference.unwrap_or_else(|| kept.lines().count().min(text.lines().count())) + 1;
    assert!(
        kept == text,
        "docs/generated/{name} is not current from line {line} on: run the tests with SWF_UPDATE_DOCS=1"
    );
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/generated")
}

#[test]
fn the_generated_document_is_current() {
    current("openapi.json", &format!("{:#}\n", openapi::document("/swf-monitor")));
}

/// Tokens as a public tokenizer counts them (o200k_base).
fn tokens(text: &str) -> usize {
    tiktoken_rs::o200k_base_singleton().encode_ordinary(text).len()
}

#[tokio::test]
async fn the_generated_tool_documents_are_current() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let rig = Rig::start(&db).await;
        let listed = crate::mcp::listed(&rig, "").await;
        let mut text = String::from(
            "# Tools\n\nGenerated from the registry; do not edit. Tokens are counted with the public tokenizer \
             o200k_base over name, title, description, annotations and input schema as `tools/list` sends them; \
             output schemas are not counted, since clients keep them from the model.\n",
        );
        let mut total = 0;
        let mut sections = String::new();
        let mut kept = Vec::new();
        for described in &listed {
            let tool = registry::find(described["name"].as_str().unwrap()).unwrap();
            let mut counted = described.clone();
            counted.as_object_mut().unwrap().remove("outputSchema");
            let count = tokens(&counted.to_string());
            total += count;
            sections.push_str(&section(tool, described, count));
            let example: Value = serde_json::from_str(tool.example).unwrap();
            kept.push(json!({"name": tool.name, "toolset": tool.toolset.as_str(), "scope": tool.scope,
                "tokens": count, "example": example, "definition": described}));
        }
        let instructions = registry::instructions(&Toolset::ALL, false);
        text.push_str(&format!(
            "\n{} tools, {total} tokens in all; the server's instructions have {}.\n",
            listed.len(),
            tokens(&instructions)
        ));
        text.push_str(&sections);
        current("tools.md", &text);
        current("tools.json", &format!("{:#}\n", json!({"tokens": total, "tools": kept})));
        assert!(total < 12_000, "the tools have {total} tokens");
        assert!(tokens(&instructions) < 1_200);
        rig.stop().await;
    })
    .await;
}

fn section(tool: &swf_tools::ToolDef, described: &Value, count: usize) -> String {
    let mut text = format!(
        "\n## {}\n\n{}. Toolset `{}`, scope `{}`, {count} tokens.\n\n{}\n",
        tool.name,
        tool.title,
        tool.toolset.as_str(),
        tool.scope,
        described["description"].as_str().unwrap()
    );
    let properties = described["inputSchema"]["properties"].as_object().unwrap();
    if !properties.is_empty() {
        text.push_str("\n| argument | type | meaning |\n|---|---|---|\n");
    }
    let required = described["inputSchema"]["required"].as_array().cloned().unwrap_or_default();
    for (name, schema) in properties {
        let kind = schema["type"].as_str().map_or_else(|| schema["enum"].to_string(), str::to_owned);
        let mark = if required.contains(&json!(name)) { ", required" } else { "" };
        let meaning =
            schema["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        text.push_str(&format!("| `{name}` | {kind}{mark} | {meaning} |\n"));
    }
    text.push_str(&format!("\nExample: `{}`\n", tool.example));
    text
}

/// Every literal path of the router's source stands in the document; resources and tools are derived.
#[test]
fn no_endpoint_is_missing() {
    let document = openapi::document("");
    let known: BTreeSet<String> =
        document["paths"].as_object().unwrap().keys().map(|p| p.trim_end_matches('/').to_owned()).collect();
    let sources = [
        include_str!("../../src/rest/mod.rs"),
        include_str!("../../src/rest/pcs.rs"),
        include_str!("../../src/sse/mod.rs"),
    ];
    let mut looked = 0;
    for line in sources
        .iter()
        .flat_map(|s| s.lines())
        .filter(|l| l.contains("both(router, \"/") || l.contains(".route(\"/"))
    {
        let path = line.split('"').nth(1).unwrap().trim_end_matches('/');
        if path != "/api/v1/tools/{name}" {
            looked += 1;
            assert!(known.contains(path), "{path} is not in the document");
        }
    }
    assert!(looked > 20, "only {looked} paths found");
    for tool in registry::all() {
        assert!(known.contains(&format!("/api/v1/tools/{}", tool.name)));
    }
    let ids: Vec<&str> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len());
}

#[tokio::test]
async fn the_document_is_served_in_both_forms_and_shown_by_a_page_that_needs_nothing_else() {
    on_sqlite(Some(&SCHEMA), async |db| {
        let rig = Rig::start(&db).await;
        let get = async |path: &str| rig.http.get(format!("{}{path}", rig.url)).send().await.unwrap();
        let served: Value = get("/api/schema/").await.json().await.unwrap();
        assert_eq!(served["servers"][0]["url"], "/swf-monitor");
        let yaml = get("/api/schema/?format=yaml").await;
        assert_eq!(yaml.headers()["content-type"], "application/yaml");
        assert!(yaml.text().await.unwrap().starts_with("openapi: \"3.1.0\"\n"));
        let accepting = rig.http.get(format!("{}/api/schema", rig.url)).header("accept", "application/yaml");
        assert_eq!(accepting.send().await.unwrap().headers()["content-type"], "application/yaml");
        let page = get("/api/schema/swagger-ui").await;
        assert!(page.url().path().ends_with("/swagger-ui/"));
        assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
        let text = page.text().await.unwrap();
        assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("<script>"));
        for file in ["viewer.js", "viewer.css"] {
            assert!(text.contains(file));
            assert_eq!(get(&format!("/api/schema/swagger-ui/{file}")).await.status(), 200);
        }
        assert_eq!(get("/api/schema/?format=xml").await.status(), 404);
        rig.stop().await;
    })
    .await;
}

#[tokio::test]
async fn the_document_is_valid_openapi() {
    let Some(python) = scripts::program("py/bin/python") else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, openapi::document("/swf-monitor").to_string()).unwrap();
    scripts::run(&python, &["-m", "openapi_spec_validator", &file.display().to_string()], &[]).await;
}

/// Random requests, right and wrong, get documented answers of the documented shape, and never a fault.
#[tokio::test]
async fn schemathesis_finds_nothing() {
    let Some(schemathesis) = scripts::program("py/bin/schemathesis") else { return };
    on_sqlite(Some(&SCHEMA), async |db| {
        let folder = tempfile::tempdir().unwrap();
        let panda = Some(production(folder.path()).await);
        let rig = Rig::with(&db, Wishes { panda, ..Wishes::default() }).await;
        let schema = format!("{}/api/schema/", rig.url);
        let token = format!("Authorization: Token {}", rig.token);
        let checks =
            "not_a_server_error,response_schema_conformance,content_type_conformance,status_code_conformance";
        let arguments = [
            "run",
            &schema,
            "--header",
            &token,
            "--checks",
            checks,
            "--max-examples",
            "20",
            "--phases",
            "examples,coverage,fuzzing",
            "--seed",
            "1",
            "--generation-database",
            "none",
            "--no-color",
            "--request-timeout",
            "20",
            "--workers",
            "2",
            "--exclude-operation-id",
            "message_stream",
            "--max-time",
            "100",
        ];
        scripts::run(&schemathesis, &arguments, &[]).await;
        rig.stop().await;
    })
    .await;
}
