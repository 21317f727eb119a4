// Requests that wait for the collector, in a Durable Object with SQLite: what it
// answers is on several disks, and its alarm works it off when the collector is
// back. Bodies are sealed, since they may name a person: what lies here is
// nothing without the key.
//
// Why not a Queue: its messages hold 128 KB, an envelope may have a megabyte.

import { DurableObject } from "cloudflare:workers";
import { count, type Env } from "./env";
import { keys } from "./keys";
import { ask, type Onward } from "./request";

const maxAge = 24 * 3600_000; // as long as the tag keeps what it could not send
const maxBytes = 1 << 30; // of the 10 GB that an object may have
const batch = 50; // requests an alarm, which may run for minutes
const maxWait = 60_000;
const maxTries = 20; // of one request that the collector answers, and badly

interface Row extends Record<string, SqlStorageValue> {
  seq: number;
  at: number;
  tries: number;
  key: string;
  iv: ArrayBuffer;
  sealed: ArrayBuffer;
}

export class Outbox extends DurableObject<Env> {
  private readonly sql: SqlStorage;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec(`CREATE TABLE IF NOT EXISTS outbox (
      seq    INTEGER PRIMARY KEY AUTOINCREMENT,
      at     INTEGER NOT NULL,            -- when it came, in ms
      due    INTEGER NOT NULL DEFAULT 0,  -- not to be tried before, in ms
      tries  INTEGER NOT NULL DEFAULT 0,  -- times that the collector answered it badly
      key    TEXT NOT NULL,               -- id of the key that it is sealed with
      iv     BLOB NOT NULL,
      sealed BLOB NOT NULL)`);
  }

  /** Keeps a request; false where there is no room. When it returns, the request is durable. */
  async put(onward: Onward): Promise<boolean> {
    if (this.sql.databaseSize > count(this.env.OUTBOX_MAX_BYTES, maxBytes)) return false;
    const [key] = await keys(this.env.EDGE_KEYS);
    const iv = crypto.getRandomValues(new Uint8Array(12));
    const { body, ...rest } = onward;
    const head = new TextEncoder().encode(JSON.stringify(rest));
    const plain = new Uint8Array(4 + head.byteLength + body.byteLength);
    new DataView(plain.buffer).setUint32(0, head.byteLength);
    plain.set(head, 4);
    plain.set(body, 4 + head.byteLength);
    const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, key!.seal, plain);
    this.sql.exec("INSERT INTO outbox (at, key, iv, sealed) VALUES (?, ?, ?, ?)", onward.who.received, key!.id, iv.buffer, sealed);
    if ((await this.ctx.storage.getAlarm()) == null) await this.ctx.storage.setAlarm(Date.now() + 1000);
    await this.ctx.storage.sync();
    return true;
  }

  /** How many requests wait, and since when; for the worker's health page. */
  async waiting(): Promise<{ requests: number; oldest: number | null; bytes: number }> {
    const row = this.sql.exec<{ n: number; oldest: number | null }>("SELECT count(*) AS n, min(at) AS oldest FROM outbox").one();
    return { requests: row.n, oldest: row.oldest, bytes: this.sql.databaseSize };
  }

  override async alarm(): Promise<void> {
    const now = Date.now();
    const late = this.sql.exec("DELETE FROM outbox WHERE at < ? RETURNING seq", now - maxAge).toArray().length;
    if (late) console.error(late + " requests were older than a day and are dropped");
    let worked = 0;
    for (const row of this.sql.exec<Row>("SELECT seq, at, tries, key, iv, sealed FROM outbox WHERE due <= ? ORDER BY seq LIMIT ?", now, batch).toArray()) {
      const wait = await this.send(row);
      if (wait == null) {
        worked++;
        continue;
      }
      if (wait > 0) {
        // The collector is still away: what is behind this one waits as well.
        const misses = ((await this.ctx.storage.get<number>("misses")) || 0) + 1;
        await this.ctx.storage.put("misses", misses);
        await this.ctx.storage.setAlarm(Date.now() + Math.min(maxWait, Math.max(wait, 500 * 2 ** misses)) * (0.75 + Math.random() / 4));
        return;
      }
    }
    if (worked) await this.ctx.storage.delete("misses");
    const next = this.sql.exec<{ due: number | null }>("SELECT min(due) AS due FROM outbox").one().due;
    if (next != null) await this.ctx.storage.setAlarm(Math.max(Date.now(), next));
  }

  /** Sends one: null when it is done with, else how long all should wait, 0 where only this one should. */
  private async send(row: Row): Promise<number | null> {
    const onward = await this.open(row);
    if (!onward) {
      console.error("a request was sealed with a key that is gone, and is dropped");
      return this.done(row);
    }
    let answer: Response;
    try {
      answer = await ask(this.env, onward);
      await answer.body?.cancel();
    } catch {
      return 1000;
    }
    const { status } = answer;
    if (status == 429 || status == 503) return 1000 * (Number(answer.headers.get("Retry-After")) || 1);
    if (status < 500) return this.done(row); // taken, or refused for good
    // Should this one alone be the collector's trouble, the others must not wait
    // behind it for ever.
    if (row.tries + 1 >= maxTries) {
      console.error("a request was answered " + status + " twenty times and is dropped");
      return this.done(row);
    }
    this.sql.exec("UPDATE outbox SET tries = tries + 1, due = ? WHERE seq = ?", Date.now() + Math.min(maxWait, 1000 * 2 ** row.tries), row.seq);
    return 0;
  }

  private done(row: Row): null {
    this.sql.exec("DELETE FROM outbox WHERE seq = ?", row.seq);
    return null;
  }

  private async open(row: Row): Promise<Onward | undefined> {
    const key = (await keys(this.env.EDGE_KEYS)).find(({ id }) => id == row.key);
    if (!key) return undefined;
    try {
      const plain = new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv: row.iv }, key.seal, row.sealed));
      const size = new DataView(plain.buffer).getUint32(0);
      const rest = JSON.parse(new TextDecoder().decode(plain.subarray(4, 4 + size))) as Omit<Onward, "body">;
      return { ...rest, body: plain.slice(4 + size) };
    } catch {
      return undefined;
    }
  }
}
