// Prints, as JSON, the version of every package that this folder pins, after importing each: what does not load fails.
import { readFileSync } from "node:fs";

const wanted = JSON.parse(readFileSync(new URL("package.json", import.meta.url))).dependencies;
const found = {};
for (const name of Object.keys(wanted)) {
  const manifest = JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url)));
  // What is a program would start.
  if (manifest.bin === undefined) await import(name);
  found[name] = manifest.version;
}
console.log(JSON.stringify({ wanted, found }));
