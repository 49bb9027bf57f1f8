/** The package ships no types. Each call starts one `systemd-notify` process and settles when it ends. */
declare module "systemd-notify" {
  export default function notify(options: { readonly ready?: boolean; readonly status?: string }): Promise<unknown>;
}
