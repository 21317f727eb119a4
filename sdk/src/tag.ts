// The script of the snippet: takes over the command queue and works it off.

import { version } from "./context";
import { banner, consent, identify, init, on, page, reset, track, use } from "./index";
import { fail } from "./notices";
import { home } from "./pixel";
import type { Miq } from "./types";

const script = document.currentScript as HTMLScriptElement | null;
const commands: Record<string, (...args: never[]) => void> = { banner, consent, identify, init, on, page, reset, track, use };

function command(name: string, ...args: never[]): void {
  if (commands[name]) commands[name](...args);
  else fail("no such command: " + name);
}

const before: Partial<Miq> = window.miq || {};
// A second copy of the tag, say from a tag manager, would count everything twice.
if (!before.version) {
  if (script) {
    // All else lies beside the script, on an advertiser's own host under a path.
    home.origin = new URL(".", script.src).href.replace(/\/(sdk\/)?$/, "");
    home.nonce = script.nonce || "";
  }
  window.miq = Object.assign(command, { version }) as typeof window.miq;
  for (const entry of before.q || []) command(...(entry as unknown as [string]));
}
