import assert from "node:assert/strict";
import { test } from "node:test";
import { fromGPP, fromTCF, type TCData } from "../src/cmp/decide";
import { fromGoogle, toGoogle } from "../src/google";
import type { Kit, State } from "../src/types";
import { stateOf, weigh } from "../src/weigh";

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

const gpp: [string, { [prefix: string]: unknown }, number[], State][] = [
  ["nothing said against it", { usnat: { SaleOptOut: 2, SharingOptOut: 2, TargetedAdvertisingOptOut: 2, SaleOptOutNotice: 1 } }, [7], "full"],
  ["not applicable", { usnat: { SaleOptOut: 0 } }, [7], "full"],
  ["opted out of sale", { usnat: [{ SaleOptOut: 1 }] }, [7], "partial"],
  ["opted out of sharing", { usca: [{ SharingOptOut: 1 }] }, [8], "partial"],
  ["opted out of targeting", { usva: { TargetedAdvertisingOptOut: 1 } }, [9], "partial"],
  ["an undefined value", { usnat: { SaleOptOut: 3 } }, [7], "partial"],
  ["no notice of sale", { usnat: { SaleOptOutNotice: 2 } }, [7], "partial"],
  ["no notice of sharing", { usnat: { SharingNotice: 2 } }, [7], "partial"],
  ["a notice of sensitive data says nothing", { usnat: { SensitiveDataProcessingOptOutNotice: 2 } }, [7], "full"],
  ["a child", { usnat: { KnownChildSensitiveDataConsents: [0, 1] } }, [7], "none"],
  ["a service provider", { usnat: { MspaServiceProviderMode: 1 } }, [7], "partial"],
  ["GPC in a subsection", { usnat: [{ SaleOptOut: 2 }, { Gpc: true }] }, [7], "partial"],
  ["no GPC in a subsection", { usnat: [{ SaleOptOut: 2 }, { Gpc: false }] }, [7], "full"],
  ["a section that nobody could read", {}, [25], "partial"],
  ["none in force", {}, [-1], "full"],
  ["Europe, everything", { tcfeuv2: { PurposeConsents: Array(24).fill(true), VendorConsents: [101] } }, [2], "full"],
  ["Europe, another vendor", { tcfeuv2: { PurposeConsents: Array(24).fill(true), VendorConsents: [755] } }, [2], "none"],
  ["Europe, 1 and 7", { tcfeuv2: { PurposeConsents: [1, 0, 0, 0, 0, 0, 1], VendorConsents: [101] } }, [2], "partial"],
  ["two, the stricter counts", { usnat: { SaleOptOut: 1 }, usva: { SaleOptOut: 2 } }, [7, 9], "partial"],
];
for (const [name, sections, ids, want] of gpp) test("GPP: " + name, () => assert.equal(fromGPP(sections, ids, 101), want));

function weighed(signals: Kit["signals"], gpc?: boolean, config = {}) {
  const told: string[] = [];
  Object.defineProperty(globalThis, "navigator", { value: { globalPrivacyControl: gpc }, configurable: true });
  const kit = { config, signals, tell: (news: string) => void told.push(news) } as never as Kit;
  return { ...weigh(kit), last: () => told[told.length - 1], kit };
}

test("an opt-out caps whatever was decided", () => {
  const full = (signals: Kit["signals"], gpc?: boolean, config = {}) => {
    const { decide, last } = weighed(signals, gpc, config);
    decide("full");
    return last();
  };
  assert.equal(full({}), "full");
  assert.equal(full({}, true), "partial");
  assert.equal(full({}, false), "full");
  for (const us_privacy of ["1YYN", "1NNN", "1-Y-"]) assert.equal(full({ us_privacy }), "partial", us_privacy);
  for (const us_privacy of ["1YNN", "1---"]) assert.equal(full({ us_privacy }), "full", us_privacy);
  assert.equal(full({ gdpr_applies: true }, true, { ignore_gpc_in_gdpr: true }), "full");
  assert.equal(full({}, true, { ignore_gpc_in_gdpr: true }), "partial");
});

test("the site can lower what its platform says, and never raise it", () => {
  const { decide, cap, last } = weighed({});
  decide("partial");
  cap({ state: "full" });
  assert.equal(last(), "partial");
  cap({ state: "none" });
  assert.equal(last(), "none");
  decide("full");
  assert.equal(last(), "none");
});

test("Consent Mode adds up over calls and goes along", () => {
  const { kit } = weighed({});
  assert.equal(stateOf({ gcm: { analytics_storage: "granted" } }, kit), "partial");
  assert.equal(stateOf({ gcm: { ad_storage: "granted", ad_user_data: "granted" } }, kit), "full");
  assert.deepEqual(kit.signals.gcm, { analytics_storage: "granted", ad_storage: "granted", ad_user_data: "granted" });
});
