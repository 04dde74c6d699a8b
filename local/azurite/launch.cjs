"use strict";
// Runs Azurite's blob service as a child that does not outlive the process that holds its stdin.

const Loki = require("lokijs");

// Azurite writes its metadata every 5 s: a kill -9 would forget what was acknowledged before.
const SAVE_INTERVAL_MS = 200;
const configureOptions = Loki.prototype.configureOptions;
Loki.prototype.configureOptions = function (options, initial) {
  if (options && options.autosave) options.autosaveInterval = SAVE_INTERVAL_MS;
  return configureOptions.call(this, options, initial);
};

// A Ctrl-C signals the whole process group; the order in which its members stop is the supervisor's.
const once = process.once;
process.once = function (event, listener) {
  return event === "SIGINT" ? this : once.call(this, event, listener);
};
process.on("SIGINT", () => {});

process.stdin.on("end", () => process.kill(process.pid, "SIGTERM"));
process.stdin.on("error", () => process.kill(process.pid, "SIGTERM"));
process.stdin.resume();
process.stdin.unref(); // it must not keep a server alive that has closed

require("azurite/dist/src/blob/main.js");
