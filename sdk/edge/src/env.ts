// What wrangler.toml and the secrets give the worker.

import type { Outbox } from "./outbox";

export interface Env {
  /** Where the collector is, "https://px.agency.example". Nothing is ever sent anywhere else. */
  ORIGIN: string;
  /** Secret: "k2:base64,k1:base64", shared with the collector. The first signs and seals; all open. */
  EDGE_KEYS: string;
  /** The path that all addresses begin with on the advertiser's host, "/a8f3"; "" is none. */
  PREFIX?: string;
  /** How long the collector may take to answer, in ms; 4000 unless told. */
  ORIGIN_TIMEOUT_MS?: string;
  /** Among how many outboxes requests are spread while the collector is away; 8 unless told. */
  OUTBOX_SHARDS?: string;
  /** The most bytes that one outbox keeps; 1 GiB unless told. */
  OUTBOX_MAX_BYTES?: string;
  OUTBOX: DurableObjectNamespace<Outbox>;
}

/** A setting that is a whole number, or what it is unless told. */
export const count = (setting: string | undefined, unless: number): number => {
  const n = Number(setting);
  return setting && Number.isInteger(n) && n > 0 ? n : unless;
};

export const originTimeout = (env: Env): number => count(env.ORIGIN_TIMEOUT_MS, 4000);
