// The US privacy string, which counts beside whatever else answers.

import type { Signals } from "./types";

type API = (command: string, version: number, fn: (data?: { uspString?: string }) => void) => void;

/** Reads it where the page has it; `done` is called at once where it has not. */
export function readUSP(into: Signals, done: () => void, api = (window as { __uspapi?: API }).__uspapi): void {
  if (typeof api != "function") return done();
  api("getUSPData", 1, (data) => {
    // A length that is not four is an unreplaced macro or somebody's mistake.
    if (data?.uspString?.length == 4) into.us_privacy = data.uspString;
    done();
  });
}
