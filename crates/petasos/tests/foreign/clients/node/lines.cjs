// How the clients talk with the test: a JSON object a line, commands in, reports out. When the commands end, so does
// the program.
"use strict";

const readline = require("node:readline");

exports.settings = JSON.parse(process.argv[2] ?? "{}");

exports.report = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

// Calls `obey` with each command, one after the other.
exports.commands = (obey = () => {}) => {
  let turn = Promise.resolve();
  const lines = readline.createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    turn = turn.then(() => obey(JSON.parse(line))).catch((error) => {
      exports.report({ error: { message: String(error?.stack ?? error) } });
    });
  });
  lines.on("close", () => turn.then(() => process.exit(0)));
};
