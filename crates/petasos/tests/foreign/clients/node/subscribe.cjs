// Subscribes with an EventSource of npm, as an application does, and reports what the application sees.
//
// Settings: library, url, headers (how these libraries take a token or a cookie), types (of events beside "message"),
// cursor (the name of the query parameter by which the polyfill resumes).
"use strict";

const { settings, report, commands } = require("./lines.cjs");
const { library, url, headers, types, cursor } = settings;

function open() {
  switch (library) {
    case "eventsource": {
      const { EventSource } = require("eventsource");
      return new EventSource(url, {
        fetch: async (input, init) => {
          const response = await fetch(input, { ...init, headers: { ...init.headers, ...headers } });
          reportAnswer(response.status, (name) => response.headers.get(name));
          return response;
        },
      });
    }
    case "eventsource-2": {
      const EventSource = require("eventsource-2");
      return new EventSource(url, { headers });
    }
    case "event-source-polyfill": {
      const { EventSourcePolyfill } = require("event-source-polyfill");
      const source = new EventSourcePolyfill(url, { headers, lastEventIdQueryParameterName: cursor });
      source.addEventListener("open", (event) => reportAnswer(event.status, (name) => event.headers.get(name)));
      return source;
    }
    default:
      throw new Error(`unknown library ${library}`);
  }
}

function reportAnswer(status, header) {
  report({ answer: { status, cursor: header("mercure-last-event-id"), old_cursor: header("last-event-id") } });
}

const source = open();
source.onopen = () => report({ open: {} });
source.onerror = (event) => {
  // Some of them close themselves only after they have said why.
  queueMicrotask(() => {
    const status = event.status ?? event.code ?? null;
    report({ failure: { status, final: source.readyState === 2 } });
  });
};
for (const type of ["message", ...types]) {
  source.addEventListener(type, (event) => {
    report({ event: { id: event.lastEventId, type: event.type, data: event.data } });
  });
}
commands();
