// Prints, as JSON, the version of every package that this folder pins, after importing each: what does not load fails.
import { readFileSync } from "node:fs";

const wanted = JSON.parse(readFileSync(new URL("package.json", import.meta.url))).dependencies;
const found = {};
for (const name of Object.keys(wanted)) {
  await import(name);
  const manifest = new URL(`node_modules/${name}/package.json`, import.meta.url);
  found[name] = JSON.parse(readFileSync(manifest)).version;
}
console.log(JSON.stringify({ wanted, found }));
