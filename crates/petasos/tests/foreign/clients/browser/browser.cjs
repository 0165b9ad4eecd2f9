// Drives headless Chromium: pages of an application on two origins, and what their scripts see of the hub.
//
// Settings: executable. Its profile lies in the working directory. Reports {ready: {listed, other}}, the two origins, then obeys:
//   {visit: {url, cookies}}     loads a page; one of the application's own sets these cookies
//   {subscribe: {url, options, types, polyfill, cookie}}   opens an EventSource there, and reports as
//                               `node/subscribe.cjs`; its script may set a cookie before
//   {fetch: {url, options, megabytes}}             reports what a script can read of the answer
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { chromium } = require("playwright-core");
const { settings, report, commands } = require("../node/lines.cjs");

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

let cookies = [];

// An origin of the application: any path is a page, and the polyfill's file as the package has it.
function serve() {
  const server = http.createServer((request, response) => {
    if (request.url === "/polyfill.js") {
      response.writeHead(200, { "Content-Type": "text/javascript" });
      fs.createReadStream(require.resolve("event-source-polyfill")).pipe(response);
      return;
    }
    const fields = { "Content-Type": "text/html; charset=utf-8", "Set-Cookie": cookies };
    response.writeHead(request.url === "/favicon.ico" ? 404 : 200, fields);
    response.end('<!doctype html><title>page</title><script src="/polyfill.js"></script>');
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve(`http://localhost:${server.address().port}`));
  });
}

function subscribeInPage({ url, options, types, polyfill, cookie }) {
  if (cookie !== undefined) {
    document.cookie = cookie;
  }
  const source = polyfill ? new EventSourcePolyfill(url, options) : new EventSource(url, options);
  source.onopen = () => report({ open: {} });
  source.onerror = (event) => report({ failure: { status: event.status ?? null, final: source.readyState === 2 } });
  for (const type of ["message", ...types]) {
    source.addEventListener(type, (event) => {
      report({ event: { id: event.lastEventId, type: event.type, data: event.data } });
    });
  }
}

async function fetchInPage({ url, options, megabytes }) {
  const body = megabytes === undefined ? options.body : `${options.body}&data=${"x".repeat(megabytes << 20)}`;
  try {
    const response = await fetch(url, { ...options, body });
    return { status: response.status, headers: Object.fromEntries(response.headers), text: await response.text() };
  } catch (error) {
    return { error: String(error) };
  }
}

(async () => {
  const [listed, other] = [await serve(), await serve()];
  const context = await chromium.launchPersistentContext(path.resolve("profile"), {
    executablePath: settings.executable,
    headless: true,
    args: FLAGS,
  });
  const page = context.pages()[0] ?? (await context.newPage());
  await page.exposeFunction("report", report);
  report({ ready: { listed, other } });
  commands(async (command) => {
    if (command.visit !== undefined) {
      cookies = command.visit.cookies ?? [];
      const response = await page.goto(command.visit.url);
      report({ visited: { status: response.status() } });
    } else if (command.subscribe !== undefined) {
      await page.evaluate(subscribeInPage, command.subscribe);
    } else if (command.fetch !== undefined) {
      report({ fetched: await page.evaluate(fetchInPage, command.fetch) });
    }
  });
})().catch((error) => {
  report({ error: { message: String(error?.stack ?? error) } });
  process.exit(1);
});
