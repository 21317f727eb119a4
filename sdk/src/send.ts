// Batching and retries. A batch keeps the state of consent and the identity it
// was made under; by the time it leaves it may carry less, never more.

import { bytes } from "./bytes";
import { stricter } from "./consent";
import { body, wrap } from "./envelope";
import { emit, fail } from "./notices";
import { split } from "./split";
import { marked } from "./trace";
import { maxBody, type Transport } from "./transport";
import type { Batch, Held, Sender as Who, Signals, State } from "./types";

// An enum costs a page no byte.
const enum Most {
  Tries = 10,
  Waiting = 20, // batches, of ten events as a rule
}

export interface Source {
  /** What may leave now; "none" also while the visitor is being asked again. */
  state(): State;
  who(): Who;
  signals(): Signals;
  /** Hears of all that waits for a retry whenever that changes. */
  park?(batches: Batch[]): void;
}

export interface Sender {
  add(event: Held): void;
  /** Takes a batch that waited elsewhere. */
  adopt(batch: Batch): void;
  /** Sends what is queued. `leaving`: the page may be gone next moment. */
  flush(leaving?: boolean): void;
  /** Tells anew what waits, since it may carry less now. */
  park(): void;
  /** Forgets everything, the answers to requests in flight included. */
  clear(): void;
}

export function newSender(source: Source, transport: Transport, max = 10, wait = 2000, share?: number): Sender {
  type Timer = ReturnType<typeof setTimeout>;
  let queue: Held[] = [];
  let timer: Timer | undefined;
  let era = 0;
  const waiting = new Map<Batch, Timer>();

  const open = () => source.state() != "none";
  const ids = ({ envelope }: Batch) => envelope.events.map((event) => event.id);
  /** What the batch may carry now. */
  const now = (batch: Batch) => stricter(batch.state, source.state());
  const text = (batch: Batch, events = batch.envelope.events) => body({ ...batch.envelope, events }, now(batch), source.signals());
  const park = () => {
    if (open()) source.park?.([...waiting.keys()].map((batch) => ({ ...batch, state: now(batch) })));
  };

  const take = (): Batch[] => {
    const events = queue;
    queue = [];
    if (!events[0]) return [];
    const state = source.state();
    const who = source.who();
    // A consent string alone may weigh 16 KB. The page is counted with each
    // event; the rest of an envelope stays well under the thousand.
    const overhead = 1000 + bytes(JSON.stringify([who, source.signals()]));
    return split(events, maxBody, overhead, (event) => JSON.stringify(event.page)).map((events) => ({
      envelope: wrap(who, events),
      state,
      made: Date.now(),
      tries: 0,
    }));
  };

  const post = async (batch: Batch) => {
    const started = era;
    waiting.delete(batch);
    batch.tries++;
    batch.left = false;
    try {
      const { status, wait, results = [] } = await transport.post(marked("/collect", share), text(batch));
      if (started != era) return;
      if (status == 429 || status >= 500) return retry(batch, wait, status);
      if (status >= 400) fail("refused with " + status);
      // Under pressure the server turns single events away for a while.
      const late = new Set(results.map(({ code, status, id, message }) => (code == "overloaded" ? id : status == "rejected" && fail(message))));
      const sent = ids(batch).filter((id) => !late.has(id));
      batch.envelope.events = batch.envelope.events.filter((event) => late.has(event.id));
      if (sent[0]) emit("sent", { ids: sent, status });
      if (batch.envelope.events[0]) retry(batch, wait, "overloaded");
      else park();
    } catch (err) {
      if (started == era) retry(batch, 0, err);
    }
  };

  const retry = (batch: Batch, wait: number, why: unknown) => {
    if (batch.tries >= Most.Tries || waiting.size >= Most.Waiting) {
      park();
      return fail("gave up: " + why);
    }
    // Jitter keeps the pages that one outage stopped from coming back as one.
    const backoff = Math.min(60_000, 500 * 2 ** batch.tries) * (0.5 + Math.random() / 2);
    const again = () => (open() ? post(batch) : retry(batch, wait, why));
    waiting.set(batch, setTimeout(again, Math.max(wait, backoff)));
    park();
  };

  const leave = (batch: Batch) => {
    // Hiding and leaving both come when a tab is closed; once is enough.
    if (batch.left) return;
    batch.left = true;
    // What the browser takes in no other way goes as images, an event each.
    transport.leave(marked("/collect", share), text(batch), () => batch.envelope.events.forEach((event) => transport.image(text(batch, [event]))));
    emit("sent", { ids: ids(batch), status: 0 });
  };

  const flush = (leaving?: boolean) => {
    clearTimeout(timer);
    timer = undefined;
    if (!open()) return;
    const batches = take();
    if (!leaving) return batches.forEach(post);
    // What waits for a retry goes along. Should the page live on, it is tried
    // again all the same: the event ids make a repeat harmless.
    batches.forEach(leave);
    waiting.forEach((_, batch) => leave(batch));
  };

  return {
    add(event) {
      queue.push(event);
      const urgent = /^(purchase|generate_lead|sign_up)$/.test(event.name);
      if (urgent || queue.length >= max) flush();
      else timer = timer || setTimeout(flush, wait);
    },
    adopt: (batch) => retry(batch, 0, ""),
    flush,
    park,
    clear() {
      clearTimeout(timer);
      timer = undefined;
      waiting.forEach(clearTimeout);
      waiting.clear();
      queue = [];
      era++;
    },
  };
}
