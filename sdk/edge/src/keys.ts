// The keys that the worker shares with the collector: one signs, one seals. Both
// come from the same secret, so that there is one to rotate.

import { fromBase64, utf8 } from "./bytes";

interface Key {
  id: string;
  sign: CryptoKey;
  seal: CryptoKey;
}

let parsed: { from: string; keys: Promise<Key[]> } | undefined;

/** The keys in the order they stand; the first is the one to use. */
export function keys(setting: string): Promise<Key[]> {
  if (parsed?.from != setting) parsed = { from: setting, keys: parse(setting) };
  return parsed.keys;
}

async function parse(setting: string): Promise<Key[]> {
  const all: Key[] = [];
  for (const part of (setting || "").split(",")) {
    const colon = part.indexOf(":");
    if (colon < 1) continue;
    const secret = fromBase64(part.slice(colon + 1).trim());
    if (secret.byteLength < 32) throw new Error("EDGE_KEYS: a key must have 32 bytes or more");
    const root = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveKey"]);
    all.push({
      id: part.slice(0, colon).trim(),
      sign: await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]),
      seal: await crypto.subtle.deriveKey(
        { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info: utf8("pixel edge outbox") },
        root,
        { name: "AES-GCM", length: 256 },
        false,
        ["encrypt", "decrypt"],
      ),
    });
  }
  if (!all.length) throw new Error('EDGE_KEYS: must be "id:key" with commas between, each key 32 bytes or more in base64');
  return all;
}
