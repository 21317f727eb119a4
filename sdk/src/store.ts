// The browser's storage, which may throw on mere access (blocked cookies,
// sandboxed frames), may be full, and is touched only where consent allows.

type Kind = "localStorage" | "sessionStorage";

const mine = "_miq";

/** Where the pixel keeps what outlives a page. */
export const place: { kind: Kind | "none" } = { kind: "localStorage" };

export function read(key: string, kind = place.kind): string | null {
  try {
    return window[kind as Kind].getItem(mine + key);
  } catch {
    return null;
  }
}

/** Writes a value, or removes it where there is none; false if it is not kept. */
export function write(key: string, value?: string, kind = place.kind): boolean {
  try {
    if (value === undefined) window[kind as Kind].removeItem(mine + key);
    else window[kind as Kind].setItem(mine + key, value);
    return true;
  } catch {
    return false;
  }
}

/** The keys of ours that begin so. */
export function keys(prefix: string, kind = place.kind): string[] {
  try {
    return Object.keys(window[kind as Kind])
      .filter((key) => !key.indexOf(mine + prefix))
      .map((key) => key.slice(mine.length));
  } catch {
    return [];
  }
}

/** Removes whatever is ours, cookies and all, from every place that it can be in. */
export function wipe(): void {
  for (const kind of ["localStorage", "sessionStorage"] as const) keys("", kind).forEach((key) => write(key, undefined, kind));
  const gone = "_miq_id=;Path=/;Max-Age=0;Secure";
  try {
    document.cookie = gone;
    // It may have been set for any domain above this one.
    const labels = location.hostname.split(".");
    for (; labels[1]; labels.shift()) document.cookie = gone + ";Domain=" + labels.join(".");
  } catch {
    // Cookies are blocked, so there is none.
  }
}

/** The id that our server set, where the page may read it. */
export function cookieID(): string | undefined {
  try {
    return decodeURIComponent(/(^|; )_miq_id=([^;]+)/.exec(document.cookie)![2]);
  } catch {
    return; // there is none, or the frame may have no cookies
  }
}
