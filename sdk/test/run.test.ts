import assert from "node:assert/strict";
import { test } from "node:test";
import { run } from "../src/run";

test("while nobody sees the page nothing runs, and then everything in its order", () => {
  const heard: (() => void)[] = [];
  const page = { prerendering: true, addEventListener: (name: string, fn: () => void) => void (name == "prerenderingchange" && heard.push(fn)) };
  Object.assign(globalThis, { document: page });
  const done: number[] = [];
  run(() => done.push(1));
  run(() => done.push(2));
  assert.deepEqual(done, []);
  page.prerendering = false;
  heard.forEach((fn) => fn());
  run(() => done.push(3));
  assert.deepEqual(done, [1, 2, 3]);
});
