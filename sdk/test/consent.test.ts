import assert from "node:assert/strict";
import { test } from "node:test";
import { allowed, type Phase, step, stricter, table, type Trigger } from "../src/consent";

const phases: Phase[] = ["no_consent", "banner", "checking", "denied", "partial", "full", "purge"];
const triggers: Trigger[] = ["found", "shown", "answered", "none", "partial", "full", "purge", "purged", "lost"];

// Every move there is; what is not listed stays where it is.
const moves: Record<string, Phase> = {
  "no_consent found": "checking",
  "no_consent shown": "banner",
  "no_consent purge": "purge",
  "banner answered": "checking",
  "banner lost": "no_consent",
  "checking shown": "banner",
  "checking none": "denied",
  "checking partial": "partial",
  "checking full": "full",
  "checking lost": "no_consent",
  "denied partial": "partial",
  "denied full": "full",
  "denied lost": "no_consent",
  "partial none": "no_consent",
  "partial full": "full",
  "partial lost": "no_consent",
  "full none": "no_consent",
  "full partial": "partial",
  "full lost": "no_consent",
  "purge purged": "no_consent",
};

for (const phase of phases)
  for (const trigger of triggers) {
    const key = phase + " " + trigger;
    test(key + " leads to " + (moves[key] || phase), () => {
      assert.equal(step({ phase, hold: false }, trigger).phase, moves[key] || phase);
    });
  }

const walk = (...triggers: Trigger[]) =>
  triggers.reduce<Phase[]>((way, trigger) => [...way, step({ phase: way[way.length - 1], hold: false }, trigger).phase], ["no_consent"]);

test("a revocation leads through a purge to a refusal", () => {
  assert.deepEqual(walk("found", "full", "none", "purge", "purged", "found", "none"), [
    "no_consent", "checking", "full", "no_consent", "purge", "no_consent", "checking", "denied",
  ]);
});

test("a banner leads to a check", () => {
  assert.deepEqual(walk("shown", "answered", "partial", "full", "partial"), ["no_consent", "banner", "checking", "partial", "full", "partial"]);
});

test("nothing but a purge leaves a purge", () => {
  assert.deepEqual(Object.keys(table.purge), ["purged"]);
});

for (const phase of ["denied", "partial", "full"] as Phase[])
  test("asked again in " + phase + ": the state stays, nothing leaves until an answer", () => {
    const held = step({ phase, hold: false }, "shown");
    assert.deepEqual(held, { phase, hold: true });
    assert.equal(step(held, "shown"), held);
    assert.deepEqual(step(held, phase == "denied" ? "none" : (phase as Trigger)), { phase, hold: false });
  });

test("a held phase can still be withdrawn", () => {
  assert.deepEqual(step({ phase: "full", hold: true }, "none"), { phase: "no_consent", hold: false });
});

test("a repeated decision is no step", () => {
  const full = { phase: "full" as Phase, hold: false };
  assert.equal(step(full, "full"), full);
});

test("only partial and full let anything leave", () => {
  assert.deepEqual(phases.map(allowed), ["none", "none", "none", "none", "partial", "full", "none"]);
});

test("the stricter of two states wins, and an unknown word allows nothing", () => {
  assert.equal(stricter("full", "partial"), "partial");
  assert.equal(stricter("none", "full"), "none");
  assert.equal(stricter("full", "granted" as never), "none");
});
