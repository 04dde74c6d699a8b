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

// Azure percent-encodes a name in a list that XML cannot hold, and says so; Azurite fails the whole list with a 500.
const { Builder } = require("xml2js");
const UNFIT_FOR_XML = /[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/u;
const ENCODED_MARKER = "encoded!";
const buildObject = Builder.prototype.buildObject;
Builder.prototype.buildObject = function (root) {
  for (const { blob, name } of namesIn(root)) {
    if (UNFIT_FOR_XML.test(name)) blob.Name = { $: { Encoded: "true" }, _: encodeURIComponent(name) };
  }
  return buildObject.call(this, root);
};

function namesIn(root) {
  const blobs = root && root.Blobs && root.Blobs.Blob;
  return [blobs].flat().flatMap((blob) => (blob && typeof blob.Name === "string" ? [{ blob, name: blob.Name }] : []));
}

// Its cursors are names, too.
const { default: MetadataStore } = require("azurite/dist/src/blob/persistence/LokiBlobMetadataStore.js");
const listBlobs = MetadataStore.prototype.listBlobs;
const MARKER = 7;
MetadataStore.prototype.listBlobs = async function (...options) {
  const asked = options[MARKER];
  if (typeof asked === "string" && asked.startsWith(ENCODED_MARKER)) {
    options[MARKER] = decodeURIComponent(asked.slice(ENCODED_MARKER.length));
  }
  const [items, prefixes, next] = await listBlobs.apply(this, options);
  return [items, prefixes, next && UNFIT_FOR_XML.test(next) ? ENCODED_MARKER + encodeURIComponent(next) : next];
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
