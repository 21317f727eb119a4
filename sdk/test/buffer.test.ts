import assert from "node:assert/strict";
import { test } from "node:test";
import { newBuffer } from "../src/buffer";
import { event } from "./page";

test("events come out in the order and with the time they had", () => {
  const buffer = newBuffer();
  const events = [event("a"), event("b")];
  events.forEach(buffer.add);
  assert.deepEqual(buffer.drain(), events);
  assert.deepEqual(buffer.drain(), []);
});

test("the fifty-first is refused, and the first stays", () => {
  const buffer = newBuffer();
  for (let i = 0; i < 50; i++) assert.ok(buffer.add(event("e" + i)));
  assert.ok(!buffer.add(event("late")));
  assert.equal(buffer.drain()[0].name, "e0");
  assert.ok(buffer.add(event("again")), "drained, it has room again");
});

test("64 KiB is the most, in bytes and not in letters", () => {
  const buffer = newBuffer();
  assert.ok(buffer.add(event("a", { text: "é".repeat(30_000) })));
  assert.ok(!buffer.add(event("b", { text: "é".repeat(3_000) })));
});
