import { cameraAdd as command } from "../commands/camera-add.ts";
import { loadBoxConfig } from "../config/box.ts";
import { integerOption, wordOption } from "./arguments.ts";
import { Client } from "./client.ts";
import { type CliCommand, EXIT } from "./command.ts";
import { CREDENTIAL_NOTE, CREDENTIAL_OPTIONS, readPassword, warnOfVisiblePassword } from "./passwords.ts";
import { fieldLines } from "./table.ts";
import { UNKNOWN } from "./units.ts";

/** Adds a camera to the running service. */
export const cameraAdd: CliCommand = {
  words: ["camera", "add"],
  summary: "Add a camera; the running service connects to it at once",
  operands: [
    { name: "ID", required: true },
    { name: "URL", required: true },
  ],
  options: [
    ...CREDENTIAL_OPTIONS,
    { name: "sub", value: "URL", text: "rtsp URL of the sub stream" },
    { name: "channel", value: "N", text: "channel number in file names, 1 to 9999 (default: the next free one)" },
    { name: "transport", value: "auto|tcp", text: "how media travels (default auto)" },
    { name: "no-record", value: null, text: "only list it: do not connect, do not record" },
  ],
  notes: ["ID is up to 63 lower-case letters, digits and hyphens. URL begins with rtsp://.", CREDENTIAL_NOTE],
  async run(invocation) {
    const { operands, options, switches, terminal } = invocation;
    const [id = "", url = ""] = operands;
    warnOfVisiblePassword(url, invocation);
    warnOfVisiblePassword(options.get("sub"), invocation);
    const request = {
      id,
      url,
      subUrl: options.get("sub") ?? null,
      username: options.get("user") ?? null,
      channel: integerOption(options, "channel"),
      transport: wordOption(options, "transport", ["auto", "tcp"]) ?? "auto",
      record: !switches.has("no-record"),
    };
    const config = await loadBoxConfig(invocation.configPath);
    const reply = await new Client(config.api.socket, invocation.signal).call(command, {
      ...request,
      password: await readPassword(invocation),
    });
    if (invocation.json) {
      await terminal.out(`${JSON.stringify(reply)}\n`);
      return EXIT.ok;
    }
    const { camera } = reply;
    const credentials =
      camera.username === null ? "none" : `${camera.username}${camera.hasPassword ? ", with password" : ", without password"}`;
    const fields = fieldLines(
      [
        ["Camera", camera.id],
        ["Channel", String(camera.channel)],
        ["URL", camera.url],
        ["Sub stream", camera.subUrl ?? UNKNOWN],
        ["Credentials", credentials],
        ["Transport", camera.transport],
        ["Recording", camera.record ? "yes" : "no"],
      ],
      terminal.colour,
    );
    await terminal.out(`${fields}Added. "easyrms camera list" shows what it does.\n`);
    return EXIT.ok;
  },
};
