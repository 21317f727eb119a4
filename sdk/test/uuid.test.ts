import assert from "node:assert/strict";
import { test } from "node:test";
import { uuid } from "../src/uuid";
import "./webcrypto";

test("is a version 7 that carries its time", () => {
  const at = Date.UTC(2026, 10, 22);
  const id = uuid(at);
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(parseInt(id.replace("-", "").slice(0, 12), 16), at);
});

test("is sorted by time and never the same", () => {
  assert.ok(uuid(1000) < uuid(2000));
  const many = new Set(Array.from({ length: 2000 }, () => uuid(1)));
  assert.equal(many.size, 2000);
});
