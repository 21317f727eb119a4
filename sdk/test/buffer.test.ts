import assert from "node:assert/strict";
import { test } from "node:test";
import { drain, hold } from "../src/buffer";
import { event } from "./page";

test("events come out in the order and with the time they had", () => {
  const events = [event("a"), event("b")];
  events.forEach(hold);
  assert.deepEqual(drain(), events);
  assert.deepEqual(drain(), []);
});

test("the fifty-first is refused, and the first stays", () => {
  for (let i = 0; i < 50; i++) assert.ok(hold(event("e" + i)));
  assert.ok(!hold(event("late")));
  assert.equal(drain()[0].name, "e0");
  assert.ok(hold(event("again")), "drained, it has room again");
  drain();
});

test("64 KiB is the most, in bytes and not in letters", () => {
  assert.ok(hold(event("a", { text: "é".repeat(30_000) })));
  assert.ok(!hold(event("b", { text: "é".repeat(3_000) })));
  drain();
});
