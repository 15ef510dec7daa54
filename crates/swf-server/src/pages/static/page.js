// Keeps the ages of times true while a page stays open. Pages work without it.
"use strict";
(() => {
  const started = Date.now();
  const span = (seconds) => {
    const d = Math.floor(seconds / 86400), h = Math.floor(seconds / 3600) % 24, m = Math.floor(seconds / 60) % 60;
    if (d >= 10) return `${d} d`;
    if (d > 0) return `${d} d ${h} h`;
    if (h > 0) return `${h} h ${m} min`;
    return m > 0 ? `${m} min` : `${Math.floor(seconds)} s`;
  };
  // The server's clock counts: its ages were right when the page came, only the time since then is added.
  const ages = [...document.querySelectorAll(".age[data-at]")];
  const parse = (text) => {
    const units = { s: 1, min: 60, h: 3600, d: 86400 };
    const sum = [...text.matchAll(/(\d+) (s|min|h|d)/g)].reduce((n, [, v, u]) => n + v * units[u], 0);
    return text.startsWith("in ") ? -sum : sum;
  };
  const known = ages.map((element) => parse(element.textContent));
  const tick = () => {
    if (document.hidden) return;
    const passed = (Date.now() - started) / 1000;
    ages.forEach((element, i) => {
      const age = known[i] + passed;
      element.textContent = age < 0 ? `in ${span(-age)}` : `${span(age)} ago`;
    });
  };
  if (ages.length) setInterval(tick, 1000);
})();
