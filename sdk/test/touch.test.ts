import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { arrive, clickIDs, forgetTouches, isClick, keepTouches } from "../src/touch";
import { stored } from "./storage";

const page = (url: string, referrer = "") => ({ url, referrer, title: "" });
const now = new Date().toISOString();

beforeEach(() => {
  stored.clear();
  forgetTouches();
});

test("the keys that hold click ids", () => {
  for (const key of "gclid gbraid wbraid dclid msclkid fbclid ttclid ttd_click ttdclid vmcid tblci aref maas li_fat_id twclid ScCid epik rdt_cid yclid irclickid".split(" "))
    assert.ok(isClick(key), key);
  for (const key of "id cid campaign_id product_id placid utm_id valid q".split(" ")) assert.ok(!isClick(key), key);
});

test("the first touch stays and the last one changes", () => {
  arrive(page("https://a.example/?utm_source=one&gclid=1", "https://www.google.com/search?q=me"), now);
  arrive(page("https://a.example/next"), now);
  arrive(page("https://a.example/?utm_source=two&dclid=2&gclid="), now);
  const touches = keepTouches(true);
  assert.deepEqual(touches.first, { time: now, referrer: "https://www.google.com", params: { utm_source: "one", gclid: "1" } });
  assert.deepEqual(touches.last!.params, { utm_source: "two", dclid: "2" });
  assert.deepEqual(clickIDs(touches), { gclid: "1", dclid: "2" });
});

test("they outlive the page, for ninety days", () => {
  const old = new Date(Date.now() - 91 * 86_400_000).toISOString();
  arrive(page("https://a.example/?gclid=1"), now);
  keepTouches(true);
  forgetTouches(); // another page
  assert.deepEqual(clickIDs(keepTouches(true)), { gclid: "1" });
  forgetTouches();
  stored.set("_miq_touch", JSON.stringify({ first: { time: old, params: { gclid: "old" } }, last: { time: old, params: {} } }));
  assert.deepEqual(keepTouches(true), { first: undefined, last: undefined });
});

test("partial consent keeps the campaign and forgets the click", () => {
  arrive(page("https://a.example/?utm_source=one&gclid=1"), now);
  keepTouches(true);
  assert.deepEqual(keepTouches(false).first!.params, { utm_source: "one" });
  assert.ok(!stored.get("_miq_touch")!.includes("gclid"));
});

test("junk is no touch, and the site's own keys are", () => {
  arrive(page("https://a.example/?gclid=" + "x".repeat(600)), now);
  arrive(page("not an address"), now);
  assert.deepEqual(keepTouches(true), { first: undefined, last: undefined });
  arrive(page("https://a.example/?partner=7"), now, ["partner"]);
  assert.deepEqual(clickIDs(keepTouches(true)), { partner: "7" });
});

test("somebody else's value is not ours", () => {
  stored.set("_miq_touch", "[1,");
  arrive(page("https://a.example/?gclid=1"), now);
  assert.deepEqual(clickIDs(keepTouches(true)), { gclid: "1" });
});
