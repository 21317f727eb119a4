/** An address taken apart; undefined for what is none, such as an empty referrer. */
export function parse(url: string): URL | undefined {
  try {
    return new URL(url);
  } catch {
    return;
  }
}
