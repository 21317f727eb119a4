/** A UUIDv7: unique without asking anybody, and sorted by time on the server. */
export function uuid(now = Date.now()): string {
  const random = Array.from(crypto.getRandomValues(new Uint8Array(18)), (byte) => (byte & 15).toString(16));
  return (now.toString(16).padStart(12, "0") + random.join("")).replace(/(.{8})(.{4})(...)(...)/, "$1-$2-7$3-8$4-");
}
