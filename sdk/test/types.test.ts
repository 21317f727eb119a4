// Nothing to run: that this file passes the type check is the test.
import type * as Public from "../src/sdk";
import * as implemented from "../src/index";

implemented satisfies typeof Public;

interface Mine {
  quiz_done: { score: number };
}

export function examples(api: typeof Public): void {
  api.track("purchase", { order_id: "A-1", value: 1, currency: "GBP" });
  api.track("my_event", { anything: 1 });
  api.track<Mine>("quiz_done", { score: 3 });
  // @ts-expect-error the map says number
  api.track<Mine>("quiz_done", { score: "three" });
  api.consent({ gcm: { ad_storage: "granted" } });
  // @ts-expect-error no such state
  api.consent({ state: "some" });
  api.use({ name: "mine", beforeSend: (event) => event.name != "scroll", setup: ({ track }) => track("ready") });
  // @ts-expect-error a hook answers with a boolean
  api.use({ beforeSend: () => "no" });
  api.on("sent", ({ ids, status }) => ids.length + status);
}
