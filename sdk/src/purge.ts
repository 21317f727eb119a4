// What withdrawal entails outside the sender: nothing of the visitor stays in
// the browser, and the server is told.

import { forgetVisitor } from "./identity";
import { choiceKey, write } from "./store";
import type { Transport } from "./transport";
import type { Signals } from "./types";

/** Tells the server, which then deletes its cookie and the visitor's data. */
export function report(transport: Transport, pixelID: string, id: string, signals: Signals): void {
  // The way for leaving pages: a withdrawal has to arrive even if the page closes right now.
  transport.leave("/consent", JSON.stringify(Object.assign({ pixel_id: pixelID, anonymous_id: id, state: "none" }, signals)));
}

/** Removes everything of ours from this browser. */
export function forget(): void {
  forgetVisitor();
  write("localStorage", choiceKey);
  write("sessionStorage", choiceKey);
}
