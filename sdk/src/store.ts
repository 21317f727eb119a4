// The browser's storage, which may throw on mere access (blocked cookies,
// sandboxed frames), may be full, and is touched only where consent allows.

type Kind = "localStorage" | "sessionStorage";

export const idKey = "_miq";
export const choiceKey = "_miq_consent";

export function read(kind: Kind, key: string): string | null {
  try {
    return window[kind].getItem(key);
  } catch {
    return null;
  }
}

/** Writes a value, or removes it where there is none. */
export function write(kind: Kind, key: string, value?: string): void {
  try {
    if (value === undefined) window[kind].removeItem(key);
    else window[kind].setItem(key, value);
  } catch {
    // Then it is not remembered, which costs a repeat and nothing else.
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

/** Expires our cookie for every domain that it can have been set on. */
export function expireCookie(): void {
  const gone = "_miq_id=;Path=/;Max-Age=0;Secure;SameSite=Lax";
  try {
    document.cookie = gone;
    const labels = location.hostname.split(".");
    for (; labels[1]; labels.shift()) document.cookie = gone + ";Domain=" + labels.join(".");
  } catch {
    // Cookies are blocked, so there is none.
  }
}
