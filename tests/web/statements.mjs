// Prints what xapi-validation finds wrong in xAPI statements, a JSON array on standard input: a line for each problem.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { statement } = createRequire(import.meta.url)("xapi-validation/dist/factory");
JSON.parse(readFileSync(0, "utf-8")).forEach((one, place) => {
  for (const problem of statement(one, ["statement"])) console.log(`${place} ${one.verb.id}: ${JSON.stringify(problem)}`);
});
