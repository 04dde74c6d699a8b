// Runs the checks of one client and prints them as one line of JSON: run.mjs {module} {package} ...
import { readFileSync } from "node:fs";

const [name, ...packages] = process.argv.slice(2);
const checks = await import(`./${name}.mjs`);
const passed = [];
const failed = {};
for (const [title, check] of Object.entries(checks)) {
  try {
    await check();
    passed.push(title);
  } catch (error) {
    failed[title] = String(error?.stack ?? error);
  }
}
const version = (one) =>
  JSON.parse(readFileSync(new URL(`./node_modules/${one}/package.json`, import.meta.url))).version;
const versions = Object.fromEntries(packages.map((one) => [one, version(one)]));
console.log(JSON.stringify({ versions, passed, failed }));
process.exit(Object.keys(failed).length);
