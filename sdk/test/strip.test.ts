import assert from "node:assert/strict";
import { test } from "node:test";
import { cleanPage, cleanProperties, cleanURL } from "../src/strip";

const urls: [string, string][] = [
  ["https://shop.example/a/b?gclid=1&utm_source=x&q=secret#me", "https://shop.example/a/b?utm_source=x"],
  ["https://user:pass@shop.example/a", "https://shop.example/a"],
  ["https://shop.example/?utm_source=me%40example.com&utm_term=shoes+red", "https://shop.example/?utm_term=shoes+red"],
  ["https://shop.example", "https://shop.example/"],
  ["not an address", ""],
];
for (const [url, want] of urls) test("cleaned: " + url, () => assert.equal(cleanURL(url), want));

test("the referrer is cut to its origin, a title with an address in it is dropped", () => {
  const page = { url: "https://a.example/", referrer: "https://b.example/search?q=me", title: "Hello me@example.com" };
  assert.deepEqual(cleanPage(page), { url: "https://a.example/", referrer: "https://b.example", title: "" });
  assert.equal(cleanPage({ ...page, referrer: "" }).referrer, "");
});

test("properties keep the products and lose the person, at any depth", () => {
  const got = cleanProperties({
    order_id: "A-1",
    value: 1,
    method: "card",
    email: "me@example.com",
    userEmail: "x",
    hashed_phone: "y",
    First_Name: "Jo",
    gclid: "z",
    note: "write to me@example.com",
    link_url: "https://a.example/?gclid=1",
    items: [{ item_id: "SKU1", item_name: "Shoe", customer: { phone: "1", size: 9 } }],
  });
  assert.deepEqual(JSON.parse(JSON.stringify(got)), {
    order_id: "A-1",
    value: 1,
    method: "card",
    link_url: "https://a.example/",
    items: [{ item_id: "SKU1", item_name: "Shoe", customer: { size: 9 } }],
  });
  assert.equal(cleanProperties(undefined), undefined);
});
