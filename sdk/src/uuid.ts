/** A UUIDv7: unique without asking anybody, and sorted by time on the server. */
export function uuid(now = Date.now()): string {
  const time = now.toString(16).padStart(12, "0");
  const random = crypto.getRandomValues(new Uint8Array(32));
  let i = 0;
  return "tttttttt-tttt-7xxx-yxxx-xxxxxxxxxxxx".replace(/[txy]/g, (kind) => {
    const bits = random[i++];
    return kind == "t" ? time[i - 1] : (kind == "y" ? (bits & 3) | 8 : bits & 15).toString(16);
  });
}
