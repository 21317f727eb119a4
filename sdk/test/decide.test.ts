import assert from "node:assert/strict";
import { test } from "node:test";
import { fromGoogle, fromTCF, optedOut, type TCData, toGoogle } from "../src/decide";

const all = [1, 2, 3, 4, 7, 9, 10];
const bits = (ids: number[]) => Object.fromEntries(ids.map((id) => [id, true]));
const tc = (purposes: number[], more: Partial<TCData> = {}): TCData => ({
  gdprApplies: true,
  eventStatus: "tcloaded",
  purpose: { consents: bits(purposes) },
  vendor: { consents: bits([101]) },
  ...more,
});

const cases: [string, TCData, string | undefined][] = [
  ["all purposes", tc(all), "full"],
  ["1 and 7", tc([1, 7]), "partial"],
  ["one missing", tc([1, 2, 3, 4, 7, 9]), "partial"],
  ["no storage", tc([2, 3, 4, 7, 9, 10]), "none"],
  ["no measuring", tc([1, 2, 3, 4, 9, 10]), "none"],
  ["undecided regime", tc(all, { gdprApplies: undefined }), undefined],
  ["registration answer", tc(all, { eventStatus: null }), undefined],
  ["banner open", tc(all, { eventStatus: "cmpuishown" }), undefined],
  ["no GDPR", { gdprApplies: false }, "full"],
  ["another vendor", tc(all, { vendor: { consents: bits([755]) } }), "none"],
  ["not disclosed", tc(all, { vendor: { consents: bits([101]), disclosedVendors: bits([755]) } }), "none"],
  ["disclosed", tc(all, { vendor: { consents: bits([101]), disclosedVendors: bits([101]) } }), "full"],
  ["restricted", tc(all, { publisher: { restrictions: { 3: { 101: 0 } } } }), "partial"],
];
for (const [name, data, want] of cases) test("TCF: " + name, () => assert.equal(fromTCF(data, 101), want));

test("TCF without a vendor id looks at purposes alone", () => {
  assert.equal(fromTCF(tc(all, { vendor: undefined })), "full");
});

test("Consent Mode: personalisation alone does not lower the state", () => {
  const granted = toGoogle("full");
  assert.equal(fromGoogle(granted), "full");
  assert.equal(fromGoogle({ ...granted, ad_personalization: "denied" }), "full");
  assert.equal(fromGoogle({ ...granted, ad_user_data: "denied" }), "partial");
  assert.equal(fromGoogle({ ...granted, ad_storage: undefined }), "partial");
  assert.equal(fromGoogle({ ...granted, analytics_storage: "denied" }), "none");
  assert.equal(fromGoogle({}), "none");
});

test("our states and Consent Mode agree both ways", () => {
  for (const state of ["none", "partial", "full"] as const) assert.equal(fromGoogle(toGoogle(state)), state);
});

test("opt-outs", () => {
  assert.ok(optedOut(true));
  for (const s of ["1YYN", "1NNN", "1-Y-"]) assert.ok(optedOut(false, s), s);
  for (const s of ["1YNN", "1---", "", undefined]) assert.ok(!optedOut(undefined, s), s);
});
