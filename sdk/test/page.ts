// The little of a browser that the tested files touch.
import type { Held } from "../src/types";

Object.defineProperty(globalThis, "navigator", { value: { language: "en-GB" }, configurable: true });
Object.assign(globalThis, { screen: { width: 1280, height: 720 } });

let made = 0;

export function event(name: string, properties?: Held["properties"], url = "https://shop.example/"): Held {
  return { id: "e" + ++made, name, time: "2026-11-22T10:00:00.000Z", properties, page: { url, referrer: "", title: "Shop" } };
}
