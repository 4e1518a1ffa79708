// Reads a list of texts from its input, and writes what the pages read of each: [value], or the reason why it is refused.
// tests/ui/test_yaml.py compares that with what the server reads.
import { readFileSync } from "node:fs";
import { build } from "esbuild";

const { outputFiles } = await build({ stdin: { contents: 'export * from "./src/json"; export * from "./src/yaml";', resolveDir: "." }, bundle: true, format: "esm", write: false });
const { json, parseYaml } = await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
const read = (text) => {
  try {
    return [parseYaml(text)];
  } catch (error) {
    return error.message;
  }
};
console.log(json(JSON.parse(readFileSync(0, "utf8")).map(read)));
