// The page at `/`: one text without anything from elsewhere. It shows status.json, every other second.
#pragma once

#include <string_view>

namespace mlcore::server {

constexpr std::string_view kStatusPage = R"page(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>mlcore-server</title>
<style>
:root { color-scheme: light dark; --line: #8884; --dim: #888; --good: #2a8a4a; --bad: #c0392b; --mark: #3566b8; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem; }
h1 { font-size: 1.3rem; margin: 0; } h2 { font-size: 1rem; margin: 2rem 0 .4rem; }
header { display: flex; gap: 1rem; align-items: baseline; flex-wrap: wrap; }
.dim { color: var(--dim); } .good { color: var(--good); } .bad { color: var(--bad); }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; color: var(--dim); font-size: .85rem; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
code { font-size: .85em; } svg { display: block; } svg path { fill: none; stroke: var(--mark); stroke-width: 1.5; }
form { margin: 1rem 0; } input { font: inherit; }
</style>
</head>
<body>
<header><h1>mlcore-server</h1><span id="state" class="dim">asking</span><span id="facts" class="dim"></span></header>
<form id="login" hidden><label>Token of this server <input id="token" type="password" autocomplete="off"></label>
<button>Show</button></form>
<main id="main" hidden>
<h2>Models</h2>
<table><thead><tr><th>model</th><th>version</th><th>digest</th><th>loaded</th><th class="n">requests/s</th>
<th>last two minutes</th><th class="n">p50</th><th class="n">p99</th><th class="n">rows</th><th class="n">2xx</th>
<th class="n">4xx</th><th class="n">5xx</th></tr></thead><tbody id="models"></tbody></table>
<p class="dim">Rates and latencies are of the last ten seconds; a latency is the upper bound of its histogram's bucket, from the
first byte of a request to its answer.</p>
<h2>Files that are not served</h2>
<table><tbody id="refused"></tbody></table>
<h2>Recent errors</h2>
<table><tbody id="errors"></tbody></table>
</main>
<script>
"use strict";
const PERIOD = 2000, WINDOW = 5, KEPT = 60;
const kept = [];
let token = "";
const $ = id => document.getElementById(id);

// text only: nothing that comes from a server becomes markup
function cell(text, kind) {
  const td = document.createElement("td");
  if (text instanceof Node) td.append(text); else td.textContent = text;
  if (kind) td.className = kind;
  return td;
}
function row(...cells) {
  const tr = document.createElement("tr");
  tr.append(...cells);
  return tr;
}
function fill(id, rows, otherwise) {
  $(id).replaceChildren(...(rows.length ? rows : [row(cell(otherwise, "dim"))]));
}
const time = seconds => new Date(seconds * 1000).toLocaleString();
const duration = s => s >= 1 ? s + " s" : s >= 1e-3 ? +(s * 1e3).toFixed(3) + " ms" : +(s * 1e6).toFixed(1) + " \u00b5s";
const model = (status, name) => status.models.find(one => one.name === name);
const count = one => one ? Object.values(one.results).reduce((a, b) => a + b, 0) : 0;

function quantile(now, before, bounds, share) {
  const counts = now.latency.map((n, i) => n - (before ? before.latency[i] : 0));
  const total = counts.reduce((a, b) => a + b, 0);
  if (!total) return "\u2013";
  let sum = 0;
  for (let i = 0; i < counts.length; ++i) {
    sum += counts[i];
    if (sum >= share * total) return i < bounds.length ? "\u2264 " + duration(bounds[i]) : "> " + duration(bounds[i - 1]);
  }
}
function rates(name) {
  return kept.slice(1).map((now, i) => {
    const seconds = now.now - kept[i].now;
    return seconds > 0 ? Math.max(0, count(model(now, name)) - count(model(kept[i], name))) / seconds : 0;
  });
}
function sparkline(values) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("width", 120); svg.setAttribute("height", 20);
  const most = Math.max(...values, 1), path = document.createElementNS(svg.namespaceURI, "path");
  const points = values.map((v, i) => `${(120 - 2 * (values.length - 1 - i)).toFixed(1)},${(19 - 18 * v / most).toFixed(1)}`);
  if (points.length) path.setAttribute("d", "M" + points.join("L"));
  svg.append(path);
  return svg;
}
function show(status) {
  kept.push(status);
  if (kept.length > KEPT) kept.shift();
  const before = kept[Math.max(0, kept.length - 1 - WINDOW)];
  $("login").hidden = true;
  $("main").hidden = false;
  $("state").textContent = status.draining ? "stopping" : status.models.length ? "serving" : "no model";
  $("state").className = status.draining || !status.models.length ? "bad" : "good";
  $("facts").textContent = `${status.version}, since ${time(status.started)}, ${status.connections} connections, ` +
    `${status.in_flight} requests in flight, ${status.unrouted} answered without a model, ${status.shed} refused for want of room`;
  const rows = status.models.flatMap(one => one.versions.slice().reverse().map((version, i) => {
    const old = model(before, one.name), seconds = status.now - before.now;
    const own = i ? [] : [
      cell(seconds > 0 ? ((count(one) - count(old)) / seconds).toFixed(1) : "\u2013", "n"), cell(sparkline(rates(one.name))),
      cell(quantile(one, old, status.latency_bounds, 0.5), "n"), cell(quantile(one, old, status.latency_bounds, 0.99), "n"),
      cell(one.rows, "n"), ...["2xx", "4xx", "5xx"].map(kind => cell(one.results[kind], "n"))];
    const digest = document.createElement("code");
    digest.textContent = version.digest.slice(0, 12);
    digest.title = version.digest;
    return row(cell(i ? "" : one.name), cell(version.version), cell(digest), cell(time(version.loaded)), ...own);
  }));
  fill("models", rows, "none");
  fill("refused", status.refused.map(one => row(cell(one.name), cell(one.version), cell(one.reason))), "none");
  fill("errors", status.errors.map(one =>
    row(cell(time(one.at)), cell(one.status, "bad"), cell(one.model || "\u2013"), cell(one.answer.error))), "none");
}
async function ask() {
  try {
    const answer = await fetch("status.json", {headers: token ? {Authorization: "Bearer " + token} : {}, cache: "no-store"});
    if (answer.status === 401) {
      $("login").hidden = false;
      $("main").hidden = true;
      $("state").textContent = token ? "expected the token of this server but found another" : "asks for a token";
      token = "";
      return;
    }
    show(await answer.json());
  } catch (error) {
    $("state").textContent = "does not answer";
    $("state").className = "bad";
  }
  setTimeout(ask, PERIOD);
}
$("login").addEventListener("submit", event => { event.preventDefault(); token = $("token").value; $("token").value = ""; ask(); });
ask();
</script>
</body>
</html>
)page";

}  // namespace mlcore::server
