// Publishes with the npm package `mercure`, as its README says. Settings: host, port, jwt.
"use strict";

const { settings, report, commands } = require("./lines.cjs");
const { Publisher } = require("mercure");

const publisher = new Publisher({
  protocol: "http",
  host: settings.host,
  port: settings.port,
  path: "/.well-known/mercure",
  jwt: settings.jwt,
});

commands(async ({ topics, data, options }) => {
  const answer = await publisher.publish(topics, data, options);
  report({ published: { id: answer } });
});
