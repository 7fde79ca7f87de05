// Starts pytest on Pyodide: `node run.mjs MODULES REPOSITORY PACKAGES [pytest's arguments]`. `run.py` calls it.

import { createRequire } from "node:module";

const [modules, repository, packages, ...args] = process.argv.slice(2);
const { loadPyodide } = createRequire(`${modules}/`)("pyodide");

const pyodide = await loadPyodide({
  env: { HOME: "/tmp", PYTHONHASHSEED: "0", HYPOTHESIS_PROFILE: process.env.HYPOTHESIS_PROFILE ?? "quick" },
});
for (const [place, root] of Object.entries({ "/repository": repository, "/packages": packages })) {
  pyodide.FS.mkdirTree(place);
  pyodide.FS.mount(pyodide.FS.filesystems.NODEFS, { root }, place);
}
pyodide.FS.chdir("/repository");
pyodide.globals.set("arguments", pyodide.toPy(args));
process.exit(
  pyodide.runPython(`
import sys
sys.path[:0] = ["/packages", "/repository/tests/wasm"]
import pytest
print(f"CPython {sys.version.split()[0]} on {sys.platform}, sizes below {sys.maxsize + 1:,}")
int(pytest.main(["-p", "without_processes", *arguments]))
`),
);
