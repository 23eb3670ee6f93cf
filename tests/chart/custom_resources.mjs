// Validates custom resources: values with validators generated from the CRDs, and unknown field names with the TypeScript types, since the
// validators accept those.
//
//   node custom_resources.mjs CUSTOM_JSON SCRATCH NODE_MODULES
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [file, scratch, nodeModules] = process.argv.slice(2).map((path) => resolve(path));
const PACKAGES = {
  "monitoring.coreos.com": "prometheus-operator",
  "cert-manager.io": "cert-manager",
  "networking.istio.io": "istio",
  "security.istio.io": "istio",
};

const resources = JSON.parse(readFileSync(file, "utf8"));
const problems = [];
let typed = "";
for (const [index, { where, object }] of resources.entries()) {
  const { apiVersion, kind, ...rest } = object;
  const module = `@kubernetes-models/${PACKAGES[apiVersion.split("/")[0]]}/${apiVersion}/${kind}`;
  try {
    const models = await import(pathToFileURL(join(nodeModules, `${module}.js`)));
    new models[kind](rest).validate();
  } catch (error) {
    problems.push(`${where}: ${error.message}`);
  }
  typed += `// ${where}\nimport type { I${kind} as I${index} } from "${module}";\nexport const _${index}: I${index} = ${JSON.stringify(object, null, 1)};\n`;
}

const project = join(scratch, "types");
mkdirSync(project);
symlinkSync(nodeModules, join(project, "node_modules"));
writeFileSync(join(project, "resources.ts"), typed);
const options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "resources.ts"];
try {
  execFileSync("node", [join(nodeModules, "typescript/bin/tsc"), ...options], { cwd: project, encoding: "utf8" });
} catch (error) {
  problems.push(error.stdout || error.message);
}

problems.forEach((problem) => console.error(problem));
const kinds = [...new Set(resources.map(({ object }) => object.kind))].sort();
console.log(`${resources.length} custom resources are valid: ${kinds.join(", ")}`);
process.exit(problems.length ? 1 : 0);
