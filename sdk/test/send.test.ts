import assert from "node:assert/strict";
import { test } from "node:test";
import { listen } from "../src/notices";
import { newSender } from "../src/send";
import { split } from "../src/split";
import { type Answer, retryAfter } from "../src/transport";
import type { Batch, State } from "../src/types";
import { stopClock, tick } from "./clock";
import { event } from "./page";

const errors: string[] = [];
listen("error", ({ message }) => errors.push(message));

const turn = () => new Promise<void>((done) => queueMicrotask(done));
const turns = async () => {
  for (let i = 0; i < 10; i++) await turn();
};

function setup(answers: (Answer | "down")[] = []) {
  stopClock();
  const world = {
    answers,
    state: "full" as State,
    posted: [] as Record<string, any>[],
    left: [] as Record<string, any>[],
    images: [] as Record<string, any>[],
    parked: [] as Batch[],
    beacons: true,
  };
  const sender = newSender(
    {
      state: () => world.state,
      who: () => ({ pixel_id: "px_demo", identity: { anonymous_id: "anon", email: "me@example.com", click_ids: { gclid: "1" } }, tab: "t1" }),
      signals: () => ({ gdpr_applies: true, tcf: "CP" }),
      park: (batches) => void (world.parked = batches),
    },
    {
      async post(_, body) {
        world.posted.push(JSON.parse(body));
        const answer = answers.shift() || { status: 202, wait: 0 };
        if (answer == "down") throw new Error("network");
        return answer;
      },
      leave(_, body, otherwise) {
        if (world.beacons) world.left.push(JSON.parse(body));
        else otherwise?.();
      },
      image: (body) => void world.images.push(JSON.parse(body)),
    },
  );
  return { sender, world };
}

const names = (body: Record<string, any>) => body.events.map((one: { name: string }) => one.name).join();

test("ten events make a batch, two seconds make one of fewer", async () => {
  const { sender, world } = setup();
  for (let i = 0; i < 11; i++) sender.add(event("scroll"));
  assert.equal(world.posted.length, 1);
  assert.equal(world.posted[0].events.length, 10);
  tick(2000);
  assert.equal(world.posted[1].events.length, 1);
});

for (const name of ["purchase", "generate_lead", "sign_up"])
  test(name + " waits for nothing", () => {
    const { sender, world } = setup();
    sender.add(event("page_view"));
    sender.add(event(name));
    assert.equal(names(world.posted[0]), "page_view," + name);
  });

test("each page has its own envelope", () => {
  const { sender, world } = setup();
  sender.add(event("page_view", {}, "https://shop.example/a"));
  sender.add(event("page_view", {}, "https://shop.example/b"));
  sender.flush();
  assert.deepEqual(
    world.posted.map((body) => body.context.page.url),
    ["https://shop.example/a", "https://shop.example/b"],
  );
});

test("no body weighs more than a keepalive request may", () => {
  const { sender, world } = setup();
  for (let i = 0; i < 9; i++) sender.add(event("big", { text: "é".repeat(10_000) }));
  sender.flush(true);
  assert.equal(world.left.length, 5);
  for (const body of world.left) assert.ok(new TextEncoder().encode(JSON.stringify(body)).length <= 60_000);
  assert.equal(world.left.reduce((n, body) => n + body.events.length, 0), 9);
});

test("an item too big for any body travels alone", () => {
  assert.deepEqual(split(["aa", "b".repeat(100), "c"], 50, 10, () => ""), [["aa"], ["b".repeat(100)], ["c"]]);
});

test("flushing twice sends once", () => {
  const { sender, world } = setup();
  sender.add(event("page_view"));
  sender.flush(true);
  sender.flush(true);
  assert.equal(world.left.length, 1);
});

test("where the browser takes no more, each event becomes an image", () => {
  const { sender, world } = setup();
  world.beacons = false;
  sender.add(event("page_view", { value: 5, order_id: "A-1", colour: "red" }));
  sender.flush(true);
  sender.add(event("view_item"));
  sender.flush(true);
  const [image] = world.images;
  assert.equal(image.pixel_id, "px_demo");
  assert.equal(image.consent.tcf, "CP");
  assert.equal(image.identity.anonymous_id, "anon");
  assert.deepEqual(world.images.map(names), ["page_view", "view_item"]);
  assert.deepEqual(image.events[0].properties, { value: 5, order_id: "A-1", colour: "red" });
});

test("what the server turned away under pressure is sent again, and only that", async () => {
  const { sender, world } = setup();
  const events = ["page_view", "scroll", "bad", "scroll"].map((name) => event(name));
  const status = ["accepted", "rejected", "rejected", "rejected"];
  const code = [undefined, "overloaded", "invalid_name", "overloaded"];
  world.answers.push({ status: 202, wait: 7000, results: events.map(({ id }, i) => ({ id, status: status[i], code: code[i], message: code[i] })) });
  events.forEach(sender.add);
  sender.flush();
  await turns();
  assert.equal(errors.pop(), "invalid_name");
  assert.equal(world.parked.length, 1);
  tick(6900);
  assert.equal(world.posted.length, 1);
  tick(200);
  assert.equal(names(world.posted[1]), "scroll,scroll");
  await turns();
  assert.deepEqual(world.parked, []);
});

test("a batch that another tab left is sent as it was allowed then, and no further", () => {
  const { sender, world } = setup();
  const made = Date.now();
  const envelope = { pixel_id: "px_demo", identity: { anonymous_id: "anon" }, context: { page: { url: "https://a.example/", referrer: "", title: "" }, locale: "en", sdk: { name: "web", version: "1" } }, events: [{ id: "x", name: "purchase", time: "" }] };
  sender.adopt({ envelope, state: "partial", made, tries: 1 });
  tick(1000);
  assert.equal(world.posted[0].consent.state, "partial");
});

test("a failure is tried again, not before the server said", async () => {
  const { sender, world } = setup([{ status: 503, wait: 30_000 }]);
  sender.add(event("purchase"));
  await turns();
  tick(29_000);
  assert.equal(world.posted.length, 1);
  tick(1_000);
  assert.equal(world.posted.length, 2);
  assert.equal(world.posted[1].events[0].id, world.posted[0].events[0].id);
});

test("a refusal is not tried again", async () => {
  const { sender, world } = setup([{ status: 400, wait: 0 }]);
  sender.add(event("purchase"));
  await turns();
  tick(600_000);
  assert.equal(world.posted.length, 1);
  assert.equal(errors.pop(), "refused with 400");
});

test("after ten tries it gives up", async () => {
  const { sender, world } = setup(Array(20).fill("down"));
  sender.add(event("purchase"));
  for (let i = 0; i < 15; i++) {
    await turns();
    tick(60_000);
  }
  assert.equal(world.posted.length, 10);
  assert.match(errors.pop()!, /^gave up/);
});

test("what waits for a retry goes along when the page leaves, cut to the state of then", async () => {
  const { sender, world } = setup(["down"]);
  sender.add(event("purchase"));
  await turns();
  world.state = "partial";
  sender.flush(true);
  assert.equal(world.left[0].consent.state, "partial");
  assert.deepEqual(world.left[0].identity, { anonymous_id: "anon" });
});

test("a batch made under partial stays partial", async () => {
  const { sender, world } = setup(["down"]);
  world.state = "partial";
  sender.add(event("purchase"));
  await turns();
  world.state = "full";
  tick(60_000);
  assert.equal(world.posted[1].consent.state, "partial");
  assert.equal(world.posted[1].identity.email, undefined);
});

test("nothing leaves under none, and what was cleared never does", async () => {
  const { sender, world } = setup(["down"]);
  sender.add(event("purchase"));
  await turns();
  world.state = "none";
  sender.flush(true);
  tick(60_000);
  sender.clear();
  world.state = "full";
  tick(600_000);
  sender.flush(true);
  assert.equal(world.posted.length, 1);
  assert.equal(world.left.length, 0);
});

test("Retry-After is seconds or a date", () => {
  assert.equal(retryAfter("3"), 3000);
  assert.equal(retryAfter("Thu, 01 Jan 1970 00:00:10 GMT", 4000), 6000);
  assert.equal(retryAfter("Thu, 01 Jan 1970 00:00:10 GMT", 40_000), 0);
  assert.equal(retryAfter("soon"), 0);
  assert.equal(retryAfter(null), 0);
});
