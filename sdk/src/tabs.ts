// The site's other tabs. The channel is closed while a page rests in the
// back/forward cache, so that it may rest there at all.

import type { State } from "./types";

let channel: BroadcastChannel | undefined;

export function openTabs(heard: (state: State) => void): void {
  if (channel || !window.BroadcastChannel) return;
  channel = new BroadcastChannel("miq");
  channel.onmessage = (message) => heard(message.data);
}

export function tellTabs(state: State): void {
  channel?.postMessage(state);
}

export function closeTabs(): void {
  channel?.close();
  channel = undefined;
}
