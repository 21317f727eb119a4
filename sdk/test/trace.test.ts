import assert from "node:assert/strict";
import { test } from "node:test";
import { marked } from "../src/trace";
import "./webcrypto";

test("a share of requests begins a trace, each one of its own", () => {
  assert.equal(marked("/collect"), "/collect");
  assert.equal(marked("/collect", 0), "/collect");
  const all = new Set<string>();
  for (let i = 0; i < 100; i++) {
    const address = marked("/collect", 1);
    // As the W3C has it: version, trace, span, and the flag that says sampled.
    assert.match(address, /^\/collect\?traceparent=00-[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-01$/);
    all.add(address);
  }
  assert.equal(all.size, 100);
});
