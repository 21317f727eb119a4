// A tag inside a frame finds the consent functions of the pages around it by
// their locator frames, and speaks to them by messages.

import type { API } from "./iab";

const protocols = [
  { api: "__tcfapi", locator: "__tcfapiLocator", call: "__tcfapiCall", back: "__tcfapiReturn" },
  { api: "__gpp", locator: "__gppLocator", call: "__gppCall", back: "__gppReturn" },
  { api: "__uspapi", locator: "__uspapiLocator", call: "__uspapiCall", back: "__uspapiReturn" },
];

/** The nearest frame around us that answers; undefined while there is none. */
export function locate(name: string, from: Window = window): Window | undefined {
  for (let frame = from; ; frame = frame.parent) {
    try {
      // Another origin's frame throws, and the next may be ours again.
      if (frame.frames[name as never]) return frame;
    } catch {}
    if (frame == frame.parent) return;
  }
}

export function fromFrames(apis: { [name: string]: API | undefined }): void {
  let looks = 0;
  const look = () => {
    for (const { api, locator, call, back } of protocols) {
      const frame = api in apis ? undefined : locate(locator);
      if (frame && frame != window) apis[api] = proxy(frame, api, call, back);
    }
    // As long as the tag itself looks for a CMP.
    if (++looks < 75) setTimeout(look, looks < 50 ? 100 : 1000);
  };
  look();
}

/** A function that looks like the frame's own. */
function proxy(frame: Window, api: string, call: string, back: string) {
  let next = 0;
  const callbacks: { [id: string]: (value: unknown, success: boolean) => void } = {};
  addEventListener("message", ({ source, data }) => {
    if (source != frame) return;
    try {
      // Some answer in text whatever they were asked in.
      const answer = (typeof data == "string" ? JSON.parse(data) : data)[back];
      // Kept after its first answer: a listener gets many.
      callbacks[answer.callId](answer.returnValue, answer.success);
    } catch {
      // Not for us.
    }
  });
  return (command: string, second?: unknown, third?: unknown, fourth?: unknown, fifth?: unknown) => {
    // GPP has its arguments in another order.
    const gpp = api == "__gpp";
    const [version, callback, parameter] = gpp ? [fifth || "1.1", second, third] : [second, third, fourth];
    const callId = "miq-" + api + ++next;
    callbacks[callId] = callback as () => void;
    frame.postMessage({ [call]: { command, version, parameter, callId } }, "*");
  };
}
