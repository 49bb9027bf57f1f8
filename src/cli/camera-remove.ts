import { cameraRemove as command } from "../commands/camera-remove.ts";
import { loadBoxConfig } from "../config/box.ts";
import { Client } from "./client.ts";
import { type CliCommand, EXIT } from "./command.ts";

/** Removes a camera from the running service. */
export const cameraRemove: CliCommand = {
  words: ["camera", "remove"],
  summary: "Remove a camera; its recordings stay until their space is needed",
  operands: [{ name: "ID", required: true }],
  options: [],
  notes: [],
  async run({ operands, configPath, json, terminal, signal }) {
    const [id = ""] = operands;
    const config = await loadBoxConfig(configPath);
    const reply = await new Client(config.api.socket, signal).call(command, { id });
    await terminal.out(
      json ? `${JSON.stringify(reply)}\n` : `Removed camera ${reply.id}. Its recordings stay until their space is needed.\n`,
    );
    return EXIT.ok;
  },
};
