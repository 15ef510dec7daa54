"use strict";
// Shows the OpenAPI document beside which this page is served. Text only ever becomes text nodes.

const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};
const json = (value) => element("pre", {}, JSON.stringify(value, null, 2));

async function load() {
  const answer = await fetch("../?format=json");
  if (!answer.ok) throw new Error(`the document was answered with ${answer.status}`);
  const doc = await answer.json();
  document.getElementById("about").textContent = `${doc.info.title} ${doc.info.version}. ${doc.info.description}`;
  show(doc);
}

function show(doc) {
  const groups = new Map();
  for (const [path, item] of Object.entries(doc.paths)) {
    for (const [verb, operation] of Object.entries(item)) {
      const tag = (operation.tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, element("section", {}, element("h2", {}, tag)));
      groups.get(tag).append(describe(doc, path, verb, operation));
    }
  }
  document.getElementById("operations").append(...groups.values());
  const schemas = document.getElementById("schemas");
  for (const [name, schema] of Object.entries(doc.components.schemas)) {
    schemas.append(element("details", { id: `schema-${name}` }, element("summary", {}, name), json(schema)));
  }
  const find = document.getElementById("find");
  find.addEventListener("input", () => {
    const wanted = find.value.toLowerCase();
    for (const one of document.querySelectorAll("main details")) {
      one.hidden = !one.dataset.text.includes(wanted);
    }
    for (const group of document.querySelectorAll("main section")) {
      group.hidden = [...group.querySelectorAll("details")].every((one) => one.hidden);
    }
  });
}

function describe(doc, path, verb, operation) {
  const heading = element("summary", {}, element("span", { class: `verb ${verb}` }, verb),
    element("code", {}, path), operation.summary || "");
  const box = element("details", { id: operation.operationId }, heading);
  box.dataset.text = `${verb} ${path} ${operation.operationId} ${operation.summary} ${operation.description || ""}`.toLowerCase();
  box.addEventListener("toggle", () => fill(doc, box, path, verb, operation), { once: true });
  return box;
}

function fill(doc, box, path, verb, operation) {
  if (operation.description) box.append(element("p", {}, operation.description));
  const inputs = parameters(box, operation.parameters || []);
  for (const [kind, media] of Object.entries(operation.requestBody?.content || {})) {
    box.append(element("h4", {}, `Body (${kind})`), json(media.schema));
    if (media.example) box.append(element("h4", {}, "Example"), json(media.example));
  }
  if (verb === "get" && !path.endsWith("/stream/")) box.append(trial(doc, path, inputs));
  const rows = Object.entries(operation.responses).map(([status, response]) => {
    const name = response.$ref?.split("/").pop();
    const whole = name ? doc.components.responses[name] : response;
    const schema = Object.values(whole.content || {})[0]?.schema;
    const shape = schema && !name ? json(schema) : "";
    return element("tr", {}, element("th", {}, status), element("td", {}, whole.description, shape));
  });
  box.append(element("h4", {}, "Answers"), element("table", {}, ...rows));
}

function parameters(box, list) {
  const inputs = list.map((parameter) => ({ parameter, input: element("input", { "aria-label": parameter.name }) }));
  const rows = inputs.map(({ parameter, input }) => element("tr", {},
    element("th", {}, parameter.name + (parameter.required ? " *" : "")), element("td", {}, input),
    element("td", {}, [parameter.schema?.type, parameter.schema?.enum?.join(", ")].filter(Boolean).join(": ")),
    element("td", {}, parameter.description || "")));
  if (rows.length) box.append(element("table", {}, ...rows));
  return inputs;
}

function trial(doc, path, inputs) {
  const out = element("div");
  const button = element("button", { type: "button" }, "Try it");
  button.addEventListener("click", async () => {
    const base = doc.servers[0].url.replace(/\/$/, "");
    let address = base + path;
    const query = new URLSearchParams();
    for (const { parameter, input } of inputs) {
      if (parameter.in === "path") address = address.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (input.value !== "") query.set(parameter.name, input.value);
    }
    if (query.size) address += `?${query}`;
    const token = document.getElementById("token").value;
    const headers = token ? { Authorization: `Token ${token}` } : {};
    try {
      const answer = await fetch(address, { headers });
      const text = await answer.text();
      let shown = text;
      try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: shown as it is */ }
      out.replaceChildren(element("p", {}, `${answer.status} ${address}`), element("pre", {}, shown));
    } catch (error) {
      out.replaceChildren(element("p", {}, `${address}: ${error.message}`));
    }
  });
  return element("div", {}, button, out);
}

load().catch((error) => { document.getElementById("about").textContent = `The document could not be loaded: ${error.message}`; });
