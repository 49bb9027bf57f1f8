/** Starts the engine, waits for a first fact, and leaves without stopping it: by `exit`, or by having nothing left to do. */
import { loadAddon } from "../../src/engine/loader.ts";

const engine = new (loadAddon().Engine)({ tickMs: 50 });
process.exitCode = 3;
const first = new Promise<void>((resolve) => {
  engine.start(() => {
    console.log("facts");
    resolve();
  });
});
const stream = engine.openStream({ fragmentMs: 1000, ringMs: 1000, ringBytes: 1000, queueBytes: 1000 });
engine.connect(stream, "127.0.0.1", 9, 1000);
// The callback does not keep the process alive by itself.
const alive = setTimeout(() => {}, 5000);
await first;
clearTimeout(alive);
if (process.argv[2] === "exit") process.exit();
